// For tests: random placed graphs, of the ops in plan/small_plan.h.
#ifndef FACET_PLACEMENT_PASSES_RANDOM_GRAPH_H_
#define FACET_PLACEMENT_PASSES_RANDOM_GRAPH_H_

#include <cstdint>

#include "ops/graph/mesh.h"
#include "ops/kernel.h"
#include "ops/op_def.h"
#include "placement/cluster.h"
#include "placement/passes/assign_layout.h"

namespace facet::placement {

// The ops of small_plan.h and the real ones. An OpLookup.
const ops::OpDef* FindAnyOp(absl::string_view name);

// Devices whose op "work" needs a workspace: in a row, or on a mesh whose outer
// links are the slower ones.
Cluster TestCluster(int count);
Cluster TestCluster(const ops::Mesh& mesh);

// Variables, sources, work on random operands in random SBPs with the boxing
// in between, updates and reports.
LaidOutGraph RandomGraph(uint64_t seed, const Cluster& cluster, int num_nodes);
LaidOutGraph RandomGraph(uint64_t seed, int num_devices, int num_nodes);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_RANDOM_GRAPH_H_
