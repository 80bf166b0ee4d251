// Plans in files: protobuf (.pb), text (.txt, .pbtxt) or JSON (.json), by the
// file's ending. Written to a temporary file first and renamed: a full disk or
// a killed process leaves no half plan.
#ifndef FACET_PLACEMENT_PLAN_PLAN_IO_H_
#define FACET_PLACEMENT_PLAN_PLAN_IO_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

absl::Status WritePlan(const Plan& plan, const std::string& path);

// Reads and validates (ValidatePlan). The errors name the file and what is
// wrong with it: missing, truncated or changed (by the checksum in it), not a
// plan, of another version, invalid.
absl::StatusOr<Plan> ReadPlan(const std::string& path);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_PLAN_IO_H_
