// A plan's facts as JSON, for programs. (The plan itself as JSON: plan_io.h.)
#ifndef FACET_PLACEMENT_TOOL_PLAN_JSON_H_
#define FACET_PLACEMENT_TOOL_PLAN_JSON_H_

#include <optional>
#include <string>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

// An object with: name, devices, predicted_step_seconds, compile_seconds (null:
// the plan was read from a file), search_seconds, optimality_gap (null: not
// known), arena_over_lower_bound, options, tensors (with SBP and bytes) and
// collectives (with transition and bytes a device sends). docs/plan_tool.md
// describes them. Indented, ends with a newline.
std::string PlanJson(const Plan& plan, std::optional<double> compile_seconds);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_PLAN_JSON_H_
