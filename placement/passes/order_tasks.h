// OrderTasks: chooses the order in which each device works, for little memory:
// a task that frees more than it allocates runs as soon as it can, otherwise
// the order of the graph decides. Readers of a variable come before what
// mutates it.
#ifndef FACET_PLACEMENT_PASSES_ORDER_TASKS_H_
#define FACET_PLACEMENT_PASSES_ORDER_TASKS_H_

#include "absl/status/statusor.h"
#include "placement/passes/split_per_device.h"

namespace facet::placement {

// The same tasks, reordered. The order is chosen once, on the first device's
// tasks, and applied to all, so that collectives come in one order everywhere.
absl::StatusOr<TaskGraph> OrderTasks(TaskGraph tasks);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_ORDER_TASKS_H_
