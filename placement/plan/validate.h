// ValidatePlan: everything a runtime relies on, checked on the message alone:
// a plan that passes cannot crash it, run it out of its memory, or hang it.
#ifndef FACET_PLACEMENT_PLAN_VALIDATE_H_
#define FACET_PLACEMENT_PLAN_VALIDATE_H_

#include "absl/status/status.h"
#include "ops/op_def.h"
#include "ops/op_table.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// Of the plans that this program writes and reads.
inline constexpr int kPlanVersion = 1;

// InvalidArgument names the first task, register or group that is wrong and
// why. Checked: version; all ids in range; names of types, layouts, streams;
// sizes consistent with shapes, offsets aligned and inside the arena; each
// register written by at most one task (persistent ones: by a once task), read
// only on its device and after it was produced; no two registers or workspaces
// that can be live at the same time overlap, but for in-place pairs; updates
// ordered after the readers; collectives of each group in the same sequence,
// kind and sizes on all members; every cycle of the firing graph (collectives
// joined over their group) has a token: no deadlock; ops known, with their
// attributes, operands that they accept, and shares that belong together; tasks
// between steps touch variables only.
absl::Status ValidatePlan(const Plan& plan, ops::OpLookup lookup = ops::FindOp);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_VALIDATE_H_
