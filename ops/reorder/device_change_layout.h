// ChangeLayout on a CUDA device; see change_layout.h.
#ifndef FACET_OPS_REORDER_DEVICE_CHANGE_LAYOUT_H_
#define FACET_OPS_REORDER_DEVICE_CHANGE_LAYOUT_H_

#include "absl/status/status.h"
#include "ops/cuda/cuda_context.h"
#include "ops/kernel.h"

namespace facet::ops {

// Without channels or positions to tell apart, layouts are the same. Of a shape
// [N, C, H, W], row-major or channels-last.
inline bool LieAlike(const Shape& shape, Layout a, Layout b) {
  return a == b || shape[1] == 1 || shape[2] * shape[3] == 1;
}

// Copies a tensor of `shape` [N, C, H, W] from x in one layout to y in the
// other, both row-major or channels-last (Unimplemented otherwise: the blocked
// layouts are the CPU's). Of any dtype; if y's is another, both are floating,
// and elements are rounded to it. x and y may be the same memory if layouts and
// dtypes are, too: then nothing is done.
absl::Status ChangeLayout(const CudaContext& cuda, const Shape& shape,
                          Layout from, const TensorView& x, Layout to,
                          const TensorView& y);

}  // namespace facet::ops

#endif  // FACET_OPS_REORDER_DEVICE_CHANGE_LAYOUT_H_
