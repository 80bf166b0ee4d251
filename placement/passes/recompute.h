// Recompute: activations that are not kept from the forward to the backward
// pass but computed again there, where memory is short (Chen et al., 2016,
// "Training Deep Nets with Sublinear Memory Cost"). Same kernels, same inputs:
// same bits.
#ifndef FACET_PLACEMENT_PASSES_RECOMPUTE_H_
#define FACET_PLACEMENT_PASSES_RECOMPUTE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/op_def.h"
#include "placement/cluster.h"
#include "placement/passes/insert_boxing.h"

namespace facet::placement {

// A tensor that the backward pass reads and that could be computed again.
struct Recomputable {
  ops::TensorId tensor = ops::kNone;
  int64_t bytes = 0;   // Of the first device's share.
  double seconds = 0;  // To compute it once more, before kernels are chosen.
};

// What costs least per byte first. Together they are a choice, too: what all of
// them are computed from is kept, so that no more than what lies between two
// kept tensors is ever there again at once. Kept are, therefore, the tensors
// that all later work goes through (the sums behind residual blocks); such a
// one may go only if it is cheap (bound by memory traffic, not arithmetic) and
// made of tensors that stay. Tensors that are small beside the largest stay.
std::vector<Recomputable> FindRecomputable(const PlacedGraph& placed,
                                           const Cluster& cluster,
                                           ops::OpLookup lookup);

// What the names of copies end with.
inline constexpr char kAgain[] = "/again";

// The graph in which readers in the backward pass read copies of `tensors`, of
// those that FindRecomputable found: "<node>/again", before the first reader.
// Computed once for all their readers.
absl::StatusOr<PlacedGraph> Recompute(const PlacedGraph& placed,
                                      const std::vector<ops::TensorId>& tensors,
                                      ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_RECOMPUTE_H_
