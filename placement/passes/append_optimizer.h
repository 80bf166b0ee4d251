// AppendOptimizer: the update of every trainable variable: SGD with momentum,
// learning-rate schedule, gradient clipping, and for float16 the handling of
// the dynamic loss scale.
#ifndef FACET_PLACEMENT_PASSES_APPEND_OPTIMIZER_H_
#define FACET_PLACEMENT_PASSES_APPEND_OPTIMIZER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "placement/passes/autodiff.h"

namespace facet::placement {

// More steps than anybody takes together.
inline constexpr int64_t kMostAccumulated = int64_t{1} << 20;

// Defaults: as arcface_torch trains.
struct OptimizerOptions {
  double learning_rate = 0.1;  // At the end of the warm-up.
  double momentum = 0.9;
  double weight_decay = 5e-4;
  int64_t warmup_steps = 0;
  // "ramp", or "as_arcface_torch": its first step is at the full rate
  // (ops/learning_rate/schedule.h).
  std::string warmup_style = "ramp";
  int64_t total_steps = 0;  // End of the polynomial decay; 0: constant rate.
  double decay_power = 1;
  // The norm over the gradients of all variables with the attribute clip is
  // limited to this; 0: no clipping.
  double clip_norm = 5;
  // Loss scale (only with DifferentiatedGraph::loss_scale): doubled after this
  // many good steps; halved, and the step skipped, on overflow.
  int64_t loss_scale_growth_interval = 100;
  // Of a variable of which a step sees some rows only: "sampled": the others
  // stay as they are; "dense": weight decay and momentum act on all rows in
  // every step, which is made up for when a row is next seen
  // (ops/sgd_update_rows/decay_history.h).
  std::string row_update = "sampled";
  // Steps whose mean gradient makes one update; clipping and loss scaling act
  // on that. Not for variables of which a step sees some rows only.
  int64_t accumulate = 1;
};

// The variables of an optimizer are named after the weight: "<w>.momentum", of
// the type that the weight's attribute momentum_dtype names; with a dense row
// update "<w>.updated", and "decay_history" for all together; where
// gradients accumulate "<w>.accumulated", of those that are needed at once:
// with the attribute clip (also if clip_norm is 0: they are exchanged once),
// or, with a loss scale, all, to be dropped on overflow. Those of other weights
// (the head's, the largest) gather in the momentum, which takes no memory.
// InvalidArgument for impossible options.
absl::StatusOr<ops::Graph> AppendOptimizer(DifferentiatedGraph graph,
                                           const OptimizerOptions& options,
                                           ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_APPEND_OPTIMIZER_H_
