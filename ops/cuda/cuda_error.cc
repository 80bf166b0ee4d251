#include "ops/cuda/cuda_error.h"

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "ops/cuda/cublas_error.h"
#include "ops/cuda/cudnn_error.h"

namespace facet::ops {
namespace {

// The arguments of a call help nobody.
absl::string_view FunctionOf(absl::string_view call) {
  return call.substr(0, call.find('('));
}

constexpr bool IsOfHardware(cudaError_t error) {
  return error == cudaErrorECCUncorrectable ||
         error == cudaErrorNvlinkUncorrectable ||
         error == cudaErrorHardwareStackError;
}

// Of a kernel, long after the call that started it.
constexpr bool IsOfKernel(cudaError_t error) {
  return error == cudaErrorIllegalAddress || error == cudaErrorLaunchTimeout ||
         error == cudaErrorAssert ||
         (error > cudaErrorHardwareStackError &&
          error <= cudaErrorLaunchFailure);
}

// What else the user can find out.
absl::string_view Advice(cudaError_t error) {
  if (IsOfHardware(error)) {
    return "; an error of the hardware: `dmesg | grep Xid` and `nvidia-smi -q` "
           "say more, CUDA_VISIBLE_DEVICES leaves a GPU out, --resume goes on "
           "from the last checkpoint";
  }
  const char* const blocking = std::getenv("CUDA_LAUNCH_BLOCKING");
  if (IsOfKernel(error) && (blocking == nullptr || *blocking != '1')) {
    return "; work that was started earlier may have caused it: with "
           "CUDA_LAUNCH_BLOCKING=1 in the environment, and without "
           "--cuda_graph, the error names it; `dmesg | grep Xid` says more";
  }
  return "";
}

absl::Status LibraryError(absl::string_view call, absl::string_view text) {
  std::string message = absl::StrCat(FunctionOf(call), ": ", text);
  const cudaError_t device = cudaPeekAtLastError();
  if (device != cudaSuccess) {
    absl::StrAppend(&message, "; the device: ", cudaGetErrorString(device),
                    Advice(device));
  }
  return absl::InternalError(message);
}

}  // namespace

absl::Status ToStatus(cudaError_t error, absl::string_view call) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string message =
      absl::StrCat(FunctionOf(call), ": ", cudaGetErrorString(error), " (",
                   cudaGetErrorName(error), ")", Advice(error));
  switch (error) {
    case cudaErrorMemoryAllocation:
      return absl::ResourceExhaustedError(message);
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
      return absl::FailedPreconditionError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::Status ToStatus(cublasStatus_t status, absl::string_view call) {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  return LibraryError(call, cublasGetStatusString(status));
}

absl::Status ToStatus(cudnnStatus_t status, absl::string_view call) {
  if (status == CUDNN_STATUS_SUCCESS) return absl::OkStatus();
  return LibraryError(call, cudnnGetErrorString(status));
}

}  // namespace facet::ops
