// PlanListing: a plan as text tables, layer by layer.
#ifndef FACET_PLACEMENT_TOOL_PLAN_LISTING_H_
#define FACET_PLACEMENT_TOOL_PLAN_LISTING_H_

#include <optional>
#include <string>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

struct ListingOptions {
  int width = 100;      // Columns of the terminal; long cells are cut.
  bool unfold = false;  // List repeated blocks one by one.
  std::optional<double> compile_seconds;
};

// How the plan was made and what it costs; its layers with their activations,
// parameters and collectives; the collectives summed up; each device's memory.
// Of a valid plan.
std::string PlanListing(const Plan& plan, const ListingOptions& options);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_PLAN_LISTING_H_
