// cuda_device.h where programs are built without CUDA.
#include "absl/status/status.h"
#include "runtime/device/cuda_device.h"

namespace facet::runtime {
namespace {

absl::Status BuiltWithout() {
  return absl::UnimplementedError(
      "this program was built without CUDA; build and run it with "
      "`bazel run --config=cuda`, or use cpu:N");
}

}  // namespace

absl::StatusOr<std::vector<CudaDeviceInfo>> CudaDevices() {
  return BuiltWithout();
}

absl::StatusOr<std::vector<std::unique_ptr<Device>>> CreateCudaDevices(int,
                                                                       int) {
  return BuiltWithout();
}

}  // namespace facet::runtime
