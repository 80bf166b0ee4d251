#include "ops/cuda/cuda_error.h"

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

absl::Status LibraryError(absl::string_view call, absl::string_view text) {
  std::string message = absl::StrCat(FunctionOf(call), ": ", text);
  const cudaError_t device = cudaPeekAtLastError();
  if (device != cudaSuccess) {
    absl::StrAppend(&message, "; the device: ", cudaGetErrorString(device));
  }
  return absl::InternalError(message);
}

}  // namespace

absl::Status ToStatus(cudaError_t error, absl::string_view call) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string message =
      absl::StrCat(FunctionOf(call), ": ", cudaGetErrorString(error), " (",
                   cudaGetErrorName(error), ")");
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
