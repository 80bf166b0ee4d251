#include "benchmarks/hardware.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "ops/cpu_kernels.h"
#include "placement/simulate/hardware.h"
#include "runtime/device/cpu_device.h"
#include "runtime/device/host_memory.h"

namespace facet::benchmarks {
namespace {

// The value of the first "key : value" line of /proc/cpuinfo.
std::string CpuInfo(absl::string_view key) {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.rfind(std::string(key), 0) != 0) {
      continue;
    }
    return std::string(
        absl::StripAsciiWhitespace(absl::string_view(line).substr(colon + 1)));
  }
  return "";
}

// Bytes per second that one thread reads and writes (a copy that no cache
// holds). Threads of a machine share more than that, but not much more each.
double MeasureCopyRate() {
  constexpr size_t kBytes = size_t{64} << 20;
  auto from = std::make_unique<char[]>(kBytes);
  auto to = std::make_unique<char[]>(kBytes);
  std::fill_n(from.get(), kBytes, 1);
  std::fill_n(to.get(), kBytes, 2);
  double best = 1e300;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    std::copy_n(from.get(), kBytes, to.get());
    const std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - start;
    best = std::min(best, time.count());
  }
  return 2.0 * kBytes / best;
}

}  // namespace

bool CpuMultipliesBFloat16() {
  return __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}

std::string CpuDescription() {
  std::string text = CpuInfo("model name");
  if (text.empty()) text = "unknown CPU";
  if (__builtin_cpu_supports("avx512bf16")) {
    absl::StrAppend(&text, ", AVX-512 with bfloat16");
  } else if (__builtin_cpu_supports("avx512f")) {
    absl::StrAppend(&text, ", AVX-512");
  } else if (__builtin_cpu_supports("avx2")) {
    absl::StrAppend(&text, ", AVX2");
  }
  return text;
}

placement::Hardware LocalCpuCore() {
  double megahertz = 0;
  if (!absl::SimpleAtod(CpuInfo("cpu MHz"), &megahertz) || megahertz < 500) {
    megahertz = 2500;
  }
  const bool wide = __builtin_cpu_supports("avx512f");
  // Two fused multiply-adds per cycle on 8 (AVX2) or 16 lanes; Zen 4 and
  // client cores do one 16-lane one, so AVX-512 counts as 1.5 times AVX2.
  const double flops_per_cycle = 2 * 2 * 8 * (wide ? 1.5 : 1.0);
  absl::StatusOr<placement::Hardware> core = placement::ReadHardware("cpu");
  CHECK(core.ok()) << core.status();  // It is a part of the program.
  core->set_float32_flops_per_second(megahertz * 1e6 * flops_per_cycle);
  core->set_half_flops_per_second(core->float32_flops_per_second());
  core->set_memory_bytes_per_second(MeasureCopyRate());
  core->mutable_link()->set_bytes_per_second(core->memory_bytes_per_second() /
                                             2);
  if (!CpuMultipliesBFloat16()) {
    // The profile's figures are of a CPU that does; this one converts.
    for (placement::OpRates& rates : *core->mutable_rates()) {
      placement::Efficiency* e = rates.mutable_efficiency();
      e->set_half(std::min(e->half(), 0.9 * e->float32()));
    }
  }
  return *std::move(core);
}

double CoresOfDevice(int count, int index) {
  return runtime::CoresOfCpuDevice(count, index) *
         std::min(1.0, runtime::AvailableCores() / static_cast<double>(count));
}

placement::Cluster CpuCluster(const placement::Hardware& core, int count) {
  placement::Cluster cluster = placement::ClusterOf(core, count);
  for (int i = 0; i < count; ++i) {
    placement::DeviceSpec& device = cluster.devices[i];
    device.cores = runtime::CoresOfCpuDevice(count, i);
    const double cores = CoresOfDevice(count, i);
    device.float32_flops_per_second *= cores;
    device.half_flops_per_second *= cores;
    device.memory_bytes_per_second *= cores;
  }
  cluster.host_memory_bytes = runtime::AvailableHostMemoryBytes();
  cluster.kernels = &ops::CpuKernels();
  return cluster;
}

}  // namespace facet::benchmarks
