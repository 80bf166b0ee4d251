// AssignLayout: chooses once per plan in which layout each rank-4 tensor lies,
// and inserts "reorder" nodes where producer and reader cannot agree.
#ifndef FACET_PLACEMENT_PASSES_ASSIGN_LAYOUT_H_
#define FACET_PLACEMENT_PASSES_ASSIGN_LAYOUT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/layout.h"
#include "placement/cluster.h"
#include "placement/passes/insert_boxing.h"

namespace facet::placement {

struct LaidOutGraph {
  ops::Graph graph;
  std::vector<ops::NdSbp> sbp;      // By tensor.
  std::vector<ops::Layout> layout;  // By tensor; kRowMajor unless rank 4.
};

// Wants the cluster's preferred layout wherever the producing op can write it
// (OpDef::layout) and the channels of every device's share are a multiple of
// the block. Boxing moves a blocked tensor as it is only if neither side is
// split along a dimension other than 0; else it is reordered around it.
absl::StatusOr<LaidOutGraph> AssignLayout(const PlacedGraph& graph,
                                          const Cluster& cluster,
                                          ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_ASSIGN_LAYOUT_H_
