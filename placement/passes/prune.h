// Prune: removes nodes that nothing with a side effect needs, sorts the rest
// topologically (stable: as close to the given order as the edges allow) and
// renumbers. Passes that leave holes or late nodes end with it.
#ifndef FACET_PLACEMENT_PASSES_PRUNE_H_
#define FACET_PLACEMENT_PASSES_PRUNE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/op_def.h"

namespace facet::placement {

// `dropped`: by node id, nodes to remove in any case (empty: none); Internal
// error if something that stays reads a dropped node's output. `keep`: tensors
// that count as needed.
absl::StatusOr<ops::Graph> Prune(const ops::Graph& graph,
                                 const std::vector<bool>& dropped,
                                 const std::vector<ops::TensorId>& keep,
                                 ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_PRUNE_H_
