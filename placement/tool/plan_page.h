// PlanPage: a plan as one HTML page that needs no network and no other file:
// the drawing, search, why each operator is placed so, memory, timeline.
#ifndef FACET_PLACEMENT_TOOL_PLAN_PAGE_H_
#define FACET_PLACEMENT_TOOL_PLAN_PAGE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "placement/plan/plan.pb.h"
#include "placement/simulate/simulator.h"
#include "placement/tool/explanation.h"
#include "placement/tool/plan_graph.h"

namespace facet::placement {

// `explainer`: of the compilation that made the plan; null (a plan from a
// file): the page says that alternatives are not known. `measured`: drawn
// instead of the predicted times. Of a valid plan.
// FailedPrecondition if Graphviz is not installed.
absl::StatusOr<std::string> PlanPage(const Plan& plan,
                                     const Explainer* explainer,
                                     const std::optional<StepTimes>& measured,
                                     const PlanGraphOptions& options);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_PLAN_PAGE_H_
