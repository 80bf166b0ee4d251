// PlanPlaced: from SBPs to a plan; the second half of Compile.
#ifndef FACET_PLACEMENT_PLAN_PLACED_H_
#define FACET_PLACEMENT_PLAN_PLACED_H_

#include "absl/status/statusor.h"
#include "placement/cluster.h"
#include "placement/compile.h"
#include "placement/pass_log.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// The checked plan, but for its options and the devices' memory, of which it
// may need more than there is.
absl::StatusOr<Plan> PlanPlaced(const PlacedModel& model,
                                const Cluster& cluster,
                                const CompileOptions& options, PassLog* log);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_PLACED_H_
