#include "benchmarks/cuda_hardware.h"

#include "absl/status/statusor.h"
#include "glog/logging.h"
#include "placement/simulate/hardware.h"

namespace facet::benchmarks {
namespace {

// FLOP of one multiprocessor in one cycle, dense: from the peaks and clocks of
// NVIDIA's architecture white papers (V100, T4, A100, GA102, H100, B200).
struct PerCycle {
  double float32 = 0;
  double half = 0;  // Tensor cores, adding in float32.
};

PerCycle FlopsPerCycle(int compute_capability) {
  if (compute_capability < 80) return {128, 1024};
  if (compute_capability == 80) return {128, 2048};
  if (compute_capability < 90) return {256, 1024};
  if (compute_capability < 100) return {256, 4096};
  if (compute_capability < 110) return {256, 8192};
  return {256, 1024};  // The small ones of the same generation.
}

const char* NearestProfile(int compute_capability) {
  if (compute_capability < 80) return "v100_sxm2_32gb";
  return compute_capability < 90 ? "a100" : "h100";
}

}  // namespace

placement::Hardware CudaHardware(const runtime::CudaDeviceInfo& device) {
  absl::StatusOr<placement::Hardware> hardware =
      placement::ReadHardware(NearestProfile(device.compute_capability));
  CHECK(hardware.ok()) << hardware.status();  // It is a part of the program.
  const PerCycle flops = FlopsPerCycle(device.compute_capability);
  const double cycles = device.multiprocessors * device.clock_hertz;
  hardware->set_name("cuda");
  hardware->set_float32_flops_per_second(flops.float32 * cycles);
  hardware->set_half_flops_per_second(flops.half * cycles);
  // TF32: none before Ampere, then half of it.
  hardware->set_rounded_flops_per_second(
      device.compute_capability < 80 ? 0 : flops.half * cycles / 2);
  hardware->set_memory_bytes_per_second(device.memory_bytes_per_second);
  // What the driver and others have taken is not there.
  hardware->set_memory_bytes(device.free_bytes);
  return *std::move(hardware);
}

}  // namespace facet::benchmarks
