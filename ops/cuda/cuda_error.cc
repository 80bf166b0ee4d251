#include "ops/cuda/cuda_error.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace facet::ops {

absl::Status ToStatus(cudaError_t error, absl::string_view call) {
  if (error == cudaSuccess) return absl::OkStatus();
  // The arguments help nobody.
  const absl::string_view function = call.substr(0, call.find('('));
  const std::string message =
      absl::StrCat(function, ": ", cudaGetErrorString(error), " (",
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

}  // namespace facet::ops
