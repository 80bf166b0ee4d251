// Task units: the tasks of one name, one per device, which are ordered and
// merged together, and what must come before what.
#ifndef FACET_PLACEMENT_PASSES_TASK_UNITS_H_
#define FACET_PLACEMENT_PASSES_TASK_UNITS_H_

#include <cstddef>
#include <functional>
#include <vector>

#include "ops/op_def.h"
#include "placement/passes/split_per_device.h"

namespace facet::placement {

struct TaskUnit {
  std::vector<int> tasks;  // In the order of the graph.
  int first = -1;          // The first device's task; -1: it has none.
  bool once = false;
  ops::StreamKind stream = ops::StreamKind::kCompute;
  double seconds = 0;     // The slowest device's.
  std::vector<int> next;  // Units that come after it, ascending.
  int num_previous = 0;   // Units that have it in `next`.
};

// In the order of their first tasks. Readers of a register come after its
// producer and before what mutates it.
std::vector<TaskUnit> FindTaskUnits(const TaskGraph& graph);

// Marks the units that come after `unit`, directly or not. `after`: by unit;
// what is marked already stays so, and what follows it, too.
void MarkAfter(const std::vector<TaskUnit>& units, int unit,
               std::vector<bool>* after);

// Of each list of units, which have tasks on the same devices, makes one task
// per device: join(members, list). They come last in the result.
TaskGraph JoinUnits(
    TaskGraph graph, const std::vector<TaskUnit>& units,
    const std::vector<std::vector<int>>& lists,
    const std::function<LocalTask(const std::vector<const LocalTask*>& members,
                                  size_t list)>& join);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_TASK_UNITS_H_
