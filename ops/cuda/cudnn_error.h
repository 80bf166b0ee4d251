// Errors of cuDNN as Status.
#ifndef FACET_OPS_CUDA_CUDNN_ERROR_H_
#define FACET_OPS_CUDA_CUDNN_ERROR_H_

#include <cudnn.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace facet::ops {

// Internal, with the call, cuDNN's text, and the device's error if it has one.
absl::Status ToStatus(cudnnStatus_t status, absl::string_view call);

}  // namespace facet::ops

// Returns from the function if a call of cuDNN fails.
#define RETURN_IF_CUDNN_ERROR(call) \
  RETURN_IF_ERROR(::facet::ops::ToStatus(call, #call))

#endif  // FACET_OPS_CUDA_CUDNN_ERROR_H_
