// The parts of a task that applies its op several times (Task.parts).
#ifndef FACET_PLACEMENT_PLAN_TASK_PARTS_H_
#define FACET_PLACEMENT_PLAN_TASK_PARTS_H_

#include <cstdint>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

// At least 1.
inline int NumParts(const Task& task) {
  return task.parts() > 1 ? task.parts() : 1;
}

// What a part takes of the task's workspace, of which its kernel needs `bytes`.
inline int64_t PartWorkspaceBytes(int64_t bytes) {
  constexpr int64_t kAlignment = 64;  // As kernels get it.
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// A task of one application: the operands of part `part`, and which of them it
// mutates. The operands must be divisible among the parts. Workspace, waits and
// times stay those of the whole.
Task PartOf(const Task& task, int part);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_TASK_PARTS_H_
