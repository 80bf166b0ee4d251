// FillConstant on a CUDA device; see fill_constant.h.
#ifndef FACET_OPS_FILL_DEVICE_FILL_H_
#define FACET_OPS_FILL_DEVICE_FILL_H_

#include "absl/status/status.h"
#include "ops/cuda/cuda_context.h"
#include "ops/kernel.h"

namespace facet::ops {

// Any dtype and layout; floats are rounded to nearest even. The value must be
// representable in an integer dtype.
absl::Status FillConstant(const CudaContext& cuda, const TensorView& tensor,
                          double value);

}  // namespace facet::ops

#endif  // FACET_OPS_FILL_DEVICE_FILL_H_
