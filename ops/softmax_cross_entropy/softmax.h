// The formulas of softmax cross-entropy by element, with the statistics of the
// whole row: max = max_j x_j and sum = sum_j exp(x_j - max).
#ifndef FACET_OPS_SOFTMAX_CROSS_ENTROPY_SOFTMAX_H_
#define FACET_OPS_SOFTMAX_CROSS_ENTROPY_SOFTMAX_H_

#include <cmath>

#include "ops/host_device.h"

namespace facet::ops {

// -log(softmax) of the target.
FACET_HOST_DEVICE inline double RowLoss(float target_logit, float max,
                                        float sum) {
  return std::log(static_cast<double>(sum)) +
         (static_cast<double>(max) - static_cast<double>(target_logit));
}

// d loss / d logit for an element that is no target. `exponential`: exp(logit
// - max); `dloss` is of one row's loss. V: float, or a vector of floats.
template <typename V>
FACET_HOST_DEVICE V PlainLogitGradient(V exponential, float sum, float dloss) {
  return exponential * (dloss / sum);
}

// The same at the target, where (p - 1) loses digits if p is near 1, but no
// more than p had.
FACET_HOST_DEVICE inline float TargetLogitGradient(float exponential, float sum,
                                                   float dloss) {
  return (exponential / sum - 1) * dloss;
}

}  // namespace facet::ops

#endif  // FACET_OPS_SOFTMAX_CROSS_ENTROPY_SOFTMAX_H_
