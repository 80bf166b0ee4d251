// RandomExecution: the tests' oracle of a plan's safety. It "executes" a plan
// in a random order that the firing rule allows, with tasks of all streams
// overlapping, and marks every 64 bytes of the arenas with who wrote them. No
// kernels run.
#ifndef FACET_PLACEMENT_PLAN_RANDOM_EXECUTION_H_
#define FACET_PLACEMENT_PLAN_RANDOM_EXECUTION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// Internal error if the plan stalls, or a task finds that what it reads, or
// wrote and still owns, has been overwritten, or belongs to another step. The
// plan's ids, offsets and sizes must be in range.
absl::Status ExecuteRandomly(const Plan& plan, int steps, uint64_t seed);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_RANDOM_EXECUTION_H_
