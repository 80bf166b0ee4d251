// Errors of cuBLAS as Status.
#ifndef FACET_OPS_CUDA_CUBLAS_ERROR_H_
#define FACET_OPS_CUDA_CUBLAS_ERROR_H_

#include <cublas_v2.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace facet::ops {

// Internal, with the call, cuBLAS's text, and the device's error if it has one.
absl::Status ToStatus(cublasStatus_t status, absl::string_view call);

}  // namespace facet::ops

// Returns from the function if a call of cuBLAS fails.
#define RETURN_IF_CUBLAS_ERROR(call) \
  RETURN_IF_ERROR(::facet::ops::ToStatus(call, #call))

#endif  // FACET_OPS_CUDA_CUBLAS_ERROR_H_
