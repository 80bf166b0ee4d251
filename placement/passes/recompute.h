// Recompute: activations that are not kept from the forward to the backward
// pass but computed again there, where memory is short (Chen et al., 2016,
// "Training Deep Nets with Sublinear Memory Cost"). Same kernels, same inputs:
// same bits.
#ifndef FACET_PLACEMENT_PASSES_RECOMPUTE_H_
#define FACET_PLACEMENT_PASSES_RECOMPUTE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/op_def.h"
#include "placement/passes/insert_boxing.h"

namespace facet::placement {

// The graph in which readers in the backward pass read copies of `tensors`, of
// those that FindRecomputable found (activations.h) before boxing:
// "<node>/again", before the first reader. Computed once for all their readers.
absl::StatusOr<PlacedGraph> Recompute(const PlacedGraph& placed,
                                      const std::vector<ops::TensorId>& tensors,
                                      ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_RECOMPUTE_H_
