// Errors of the CUDA runtime as Status.
#ifndef FACET_OPS_CUDA_CUDA_ERROR_H_
#define FACET_OPS_CUDA_CUDA_ERROR_H_

#include <cuda_runtime.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace facet::ops {

// "cudaMalloc: out of memory (cudaErrorMemoryAllocation)". ResourceExhausted
// for memory, FailedPrecondition where there is no device or an old driver,
// Internal for the rest. What an earlier kernel did wrong, or the hardware, is
// reported by whichever call comes next: the message says so, and what to do.
absl::Status ToStatus(cudaError_t error, absl::string_view call);

}  // namespace facet::ops

// Returns from the function if a call of the CUDA runtime fails.
#define RETURN_IF_CUDA_ERROR(call) \
  RETURN_IF_ERROR(::facet::ops::ToStatus(call, #call))

#endif  // FACET_OPS_CUDA_CUDA_ERROR_H_
