// Attributes between the plan message and the compiler's and kernels' own form
// (ops/graph/attributes.h).
#ifndef FACET_PLACEMENT_PLAN_ATTRIBUTE_H_
#define FACET_PLACEMENT_PLAN_ATTRIBUTE_H_

#include "absl/status/statusor.h"
#include "ops/graph/attributes.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// Appends them in name order.
void WriteAttributes(const ops::Attributes& attributes, Task* task);

// InvalidArgument for one that has no value or comes twice.
absl::StatusOr<ops::Attributes> ReadAttributes(const Task& task);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_ATTRIBUTE_H_
