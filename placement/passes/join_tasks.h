// Joining tasks: two that one op can compute at once (OpDef::joins), where it
// is known how long kernels take (choose_kernels.h).
#ifndef FACET_PLACEMENT_PASSES_JOIN_TASKS_H_
#define FACET_PLACEMENT_PASSES_JOIN_TASKS_H_

#include <vector>

#include "absl/types/span.h"
#include "ops/op_def.h"
#include "placement/passes/split_per_device.h"

namespace facet::placement {

// A node and its reader, by their tasks on all devices that have one, and what
// would take the place of each pair.
struct JoinableNodes {
  std::vector<int> first;   // Indices into TaskGraph::tasks.
  std::vector<int> second;  // Each reads the output of the same of `first`.
  std::vector<LocalTask> joined;
  bool keeps_between = true;  // JoinRule's.
};

// In the order of `first`; a node is in one of them at most. Not what is
// computed again in the backward pass, or copies such a task: both must have
// the same kernel.
std::vector<JoinableNodes> FindJoinable(const TaskGraph& graph,
                                        absl::Span<const ops::OpDef> ops);

// Puts `joined` where `first` was, or, without what was between, where `second`
// was, which may read what `first` had no need of. That register is gone.
TaskGraph JoinTasks(TaskGraph graph, std::vector<JoinableNodes> nodes);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_JOIN_TASKS_H_
