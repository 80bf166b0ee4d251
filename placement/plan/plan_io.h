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

// InvalidArgument if the file's ending is none of those: to refuse a name
// before the work of making the plan.
absl::Status CheckPlanFileName(const std::string& path);

absl::Status WritePlan(const Plan& plan, const std::string& path);

// Reads and validates (ValidatePlan). The errors name the file and what is
// wrong with it: missing, truncated or changed (by the checksum in it), not a
// plan, of another version, invalid.
absl::StatusOr<Plan> ReadPlan(const std::string& path);

// What is in a file, be it a plan that may be run or not: for programs that say
// what is wrong with it.
struct UncheckedPlan {
  Plan plan;  // Without the checksum.
  // Not OK: the file was cut off, or changed after it was written.
  absl::Status checksum;
};

// Reads, and does not validate. The error of a file that is missing or no plan
// at all names it.
absl::StatusOr<UncheckedPlan> ReadUncheckedPlan(const std::string& path);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_PLAN_IO_H_
