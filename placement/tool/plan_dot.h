// PlanDot: a plan in Graphviz's DOT language: operators coloured by the SBP of
// what they make, collectives between them, the parameters they read.
#ifndef FACET_PLACEMENT_TOOL_PLAN_DOT_H_
#define FACET_PLACEMENT_TOOL_PLAN_DOT_H_

#include <string>

#include "placement/tool/plan_graph.h"

namespace facet::placement {

// The colour ("#dbe9f6") that stands for an SBP, in drawings and on the page.
std::string SbpColor(const std::string& sbp);

// Nodes have the ids "op0", "op1" ..., by their index in the graph. `title`:
// over the drawing.
std::string PlanDot(const Plan& plan, const PlanGraph& graph,
                    const std::string& title);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_PLAN_DOT_H_
