// For tests: a small valid plan with everything in it, and the ops it uses.
#ifndef FACET_PLACEMENT_PLAN_SMALL_PLAN_H_
#define FACET_PLACEMENT_PLAN_SMALL_PLAN_H_

#include "ops/op_def.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// Ops of the tests, an OpLookup:
//   state () -> value, attribute shape   a variable
//   source () -> x, attribute shape      data stream
//   work (a ...) -> y                    elementwise, in place on input 0
//   update (value!, change)
//   report (x) -> ()                     host stream
const ops::OpDef* FindTestOp(absl::string_view name);

// On two devices, all float32[16]: w = state; x = source (2 slots);
// y = work(x, w), with a workspace where g comes to lie; z = work(y), in
// place; g = all-reduce(z); h = work(z); update(w!, g); report(h).
Plan SmallPlan();

// Index of the plan's task with this name on this device; registers likewise.
int TaskNamed(const Plan& plan, absl::string_view name, int device);
int RegisterNamed(const Plan& plan, absl::string_view name, int device);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_SMALL_PLAN_H_
