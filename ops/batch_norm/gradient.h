// The gradient of batch norm, for ops that contain one.
#ifndef FACET_OPS_BATCH_NORM_GRADIENT_H_
#define FACET_OPS_BATCH_NORM_GRADIENT_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ops/gradient.h"

namespace facet::ops {

// Of x, input 0, and of scale and bias, which follow the inputs sum and
// square_sum, for the gradient by output 0. Only the statistics' own readers
// see them, and the gradient by x has their paths in it: nothing flows to sum
// and square_sum.
absl::Status BatchNormGradient(int sum_input, GradientContext* context);

// The gradients of per-channel parameters, from sums by group: input, sums.
absl::Status SetChannelGradients(
    absl::Span<const std::pair<int, TensorId>> by_group,
    GradientContext* context);

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_GRADIENT_H_
