// MakePlan: writes what the passes decided into a Plan message.
#ifndef FACET_PLACEMENT_PASSES_MAKE_PLAN_H_
#define FACET_PLACEMENT_PASSES_MAKE_PLAN_H_

#include "placement/cluster.h"
#include "placement/passes/assign_layout.h"
#include "placement/passes/plan_memory.h"
#include "placement/passes/split_per_device.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// Adds the waits of mutations: update after all readers of the same step,
// readers after the update of the step before.
Plan MakePlan(const LaidOutGraph& graph, const TaskGraph& tasks,
              const MemoryPlan& memory, const Cluster& cluster,
              ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_MAKE_PLAN_H_
