// The parts of a task that applies its op several times (Task.parts).
#ifndef FACET_PLACEMENT_PLAN_TASK_PARTS_H_
#define FACET_PLACEMENT_PLAN_TASK_PARTS_H_

#include "placement/plan/plan.pb.h"

namespace facet::placement {

// At least 1.
inline int NumParts(const Task& task) {
  return task.parts() > 1 ? task.parts() : 1;
}

// A task of one application: the operands of part `part`, and which of them it
// mutates. The operands must be divisible among the parts. Workspace, waits and
// times stay those of the whole.
Task PartOf(const Task& task, int part);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_TASK_PARTS_H_
