// How CUDA kernels that take an SGD step read its scalars, which lie on the
// device.
#ifndef FACET_OPS_SGD_UPDATE_DEVICE_SGD_H_
#define FACET_OPS_SGD_UPDATE_DEVICE_SGD_H_

#include "ops/cuda/device_span.h"
#include "ops/kernel.h"
#include "ops/sgd_update/sgd.h"

namespace facet::ops {

// An argument of such a kernel: the constants, and the scalar inputs; those
// that are absent are empty.
using DeviceSgdScalars = DeviceSpans<const float, 3>;

// Learning rate is input `first_scalar`, [gradient_scale] and [skip] follow.
inline DeviceSgdScalars SgdScalarsOf(const KernelContext& context,
                                     size_t first_scalar) {
  DeviceSgdScalars scalars;
  for (size_t i = first_scalar; i < context.inputs.size(); ++i) {
    scalars.span[scalars.count++] = DeviceSpan<const float>(context.inputs[i]);
  }
  return scalars;
}

// Completes the constants; false if the scalars say that this step is skipped.
__device__ inline bool SgdOfThisRun(const DeviceSgdScalars& scalars,
                                    SgdStep* step) {
  if (scalars.count > 2 && scalars.span[2].Load(0) != 0) return false;
  step->learning_rate *= scalars.span[0].Load(0);
  if (scalars.count > 1) step->gradient_scale *= scalars.span[1].Load(0);
  return true;
}

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_DEVICE_SGD_H_
