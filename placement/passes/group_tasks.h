// GroupTasks: small tasks of one op (a variable's update, a gradient's norm)
// become one task of several parts, which starts once: on a GPU starting a
// kernel takes as long as what many of them do (Apex's multi-tensor kernels).
#ifndef FACET_PLACEMENT_PASSES_GROUP_TASKS_H_
#define FACET_PLACEMENT_PASSES_GROUP_TASKS_H_

#include <vector>

#include "ops/op_def.h"
#include "placement/cluster.h"
#include "placement/passes/split_per_device.h"
#include "placement/passes/task_units.h"

namespace facet::placement {

// `ordered`: as OrderTasks left it. Ops say whether they may be grouped
// (OpDef::may_group). The result may be executed in many orders: order it
// again.
TaskGraph GroupTasks(TaskGraph ordered, const Cluster& cluster,
                     ops::OpLookup lookup);

// Groups, each a list of two or more units of one op in the order of the graph.
// A group runs when its last member could, which must cost nothing: no tensor
// of more than `small_bytes` lives longer for it, and nobody who sends a result
// to other devices waits. No member needs another, and joining each group
// leaves no cycle.
std::vector<std::vector<int>> FindGroups(const TaskGraph& graph,
                                         const std::vector<TaskUnit>& units,
                                         int64_t small_bytes,
                                         ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_GROUP_TASKS_H_
