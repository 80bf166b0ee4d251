#include "placement/known_hardware.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace facet::placement {
namespace {

constexpr double kTera = 1e12;
constexpr double kGiga = 1e9;

struct Rates {
  double float32_flops, half_flops, memory_bytes, link_bytes;
};

// `gibibytes`: what a process can allocate of the device's memory.
Hardware Gpu(std::string name, double gibibytes, const Rates& rates) {
  Hardware hardware;
  hardware.name = std::move(name);
  hardware.device.kind = "cuda";
  hardware.device.cores = 0;
  hardware.device.float32_flops_per_second = rates.float32_flops;
  hardware.device.half_flops_per_second = rates.half_flops;
  hardware.device.memory_bytes_per_second = rates.memory_bytes;
  hardware.device.launch_seconds = 5e-6;
  hardware.device.memory_bytes =
      static_cast<int64_t>(gibibytes * (int64_t{1} << 30));
  hardware.axis.latency_seconds = 8e-6;
  hardware.axis.bytes_per_second = rates.link_bytes;
  hardware.axis.blocking_seconds = 30e-6;
  return hardware;
}

const std::vector<Hardware>& AllHardware() {
  // Data sheets: V100 SXM2 15.7 Tflop/s in float32, 125 in half, 900 GB/s, six
  // NVLinks of 25 GB/s; A100 SXM4 156 (TF32), 312, 2,039 GB/s, twelve. Of the
  // arithmetic convolutions reach some two thirds in float32, a third to a half
  // in half; of the memory's and the links' rates, 80%.
  static const auto& all = *new std::vector<Hardware>{
      Gpu("v100_sxm2_32gb", 31,
          {10.5 * kTera, 45 * kTera, 720 * kGiga, 120 * kGiga}),
      Gpu("a100_sxm4_80gb", 78,
          {70 * kTera, 130 * kTera, 1630 * kGiga, 240 * kGiga}),
  };
  return all;
}

}  // namespace

const Hardware* FindHardware(absl::string_view name) {
  for (const Hardware& hardware : AllHardware()) {
    if (name == hardware.name) return &hardware;
  }
  return nullptr;
}

std::vector<std::string> HardwareNames() {
  std::vector<std::string> names;
  for (const Hardware& hardware : AllHardware()) {
    names.push_back(hardware.name);
  }
  return names;
}

Cluster KnownCluster(const Hardware& hardware, int count) {
  Cluster cluster = UniformCluster(count, hardware.device, hardware.axis);
  for (int d = 0; d < count; ++d) {
    cluster.devices[d].name = absl::StrCat(hardware.name, ":", d);
  }
  return cluster;
}

}  // namespace facet::placement
