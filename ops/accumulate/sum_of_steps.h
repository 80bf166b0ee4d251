// Gradient accumulation: the gradients of several steps, a round (every.h),
// make one update. The formulas of all kernels.
#ifndef FACET_OPS_ACCUMULATE_SUM_OF_STEPS_H_
#define FACET_OPS_ACCUMULATE_SUM_OF_STEPS_H_

#include "ops/host_device.h"

namespace facet::ops {

struct SumOf {
  template <typename V>
  FACET_HOST_DEVICE V operator()(V sum, V gradient) const {
    return sum + gradient;
  }
};

struct MeanOf {
  float factor = 1;  // 1 / steps
  template <typename V>
  FACET_HOST_DEVICE V operator()(V sum, V gradient) const {
    return (sum + gradient) * factor;
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_ACCUMULATE_SUM_OF_STEPS_H_
