// A plan for people: a table of how the model was placed, and the full listing
// of tasks and registers.
#ifndef FACET_PLACEMENT_PLAN_PLAN_TEXT_H_
#define FACET_PLACEMENT_PLAN_PLAN_TEXT_H_

#include <string>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

// At most 100 columns; some 20 lines for r50: per part of the model how its
// variables lie, the collectives of a step, and each device's memory. Of a
// valid plan.
std::string PlacementTable(const Plan& plan);

// "the head's logits; 2 activations, 0 gathered parameters, 392.0 MiB/device,
// predicted 0.001 s a step".
std::string MadeAgainText(const Recomputation& again);

// Everything, device by device, in the order of execution. Of a valid plan.
std::string PlanText(const Plan& plan);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_PLAN_TEXT_H_
