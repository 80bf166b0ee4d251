// Gradient accumulation: the gradients of `count` steps make one update. What
// each of the steps does, the first of them a multiple of `count`; the formulas
// of all kernels.
#ifndef FACET_OPS_ACCUMULATE_SUM_OF_STEPS_H_
#define FACET_OPS_ACCUMULATE_SUM_OF_STEPS_H_

#include <cstdint>

#include "ops/host_device.h"

namespace facet::ops {

// Whether the step starts a sum: what the last one left is overwritten.
inline bool StartsSum(int64_t step, int64_t count) { return step % count == 0; }

// Whether the step's gradient completes the sum: it is added where the sum is
// used, not where it is kept.
inline bool EndsSum(int64_t step, int64_t count) {
  return step % count == count - 1;
}

struct SumOf {
  template <typename V>
  FACET_HOST_DEVICE V operator()(V sum, V gradient) const {
    return sum + gradient;
  }
};

struct MeanOf {
  float factor = 1;  // 1 / count
  template <typename V>
  FACET_HOST_DEVICE V operator()(V sum, V gradient) const {
    return (sum + gradient) * factor;
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_ACCUMULATE_SUM_OF_STEPS_H_
