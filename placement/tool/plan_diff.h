// PlanDiff: what changed from one plan to another.
#ifndef FACET_PLACEMENT_TOOL_PLAN_DIFF_H_
#define FACET_PLACEMENT_TOOL_PLAN_DIFF_H_

#include <cstdint>
#include <string>
#include <vector>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

struct ChangedNumber {
  std::string name;  // "predicted step", "arena of cpu:0"
  double before = 0, after = 0;
  bool is_bytes = false, is_seconds = false;
};

// A tensor whose type, shape or SBP is not the same. "" where there is none.
struct ChangedTensor {
  std::string name;
  std::string before, after;  // "float32[64, 512] S(0)"
};

// Collectives of a kind, added up over a step and device.
struct ChangedCollectives {
  std::string what;  // "all-reduce P(sum) -> B, backbone, backward"
  int64_t count_before = 0, count_after = 0;
  int64_t bytes_before = 0, bytes_after = 0;
};

struct PlanDifference {
  std::vector<ChangedNumber> numbers;
  std::vector<ChangedTensor> options;  // By name, as tensors are.
  std::vector<ChangedTensor> tensors;
  std::vector<ChangedCollectives> collectives;
  bool empty() const {
    return numbers.empty() && options.empty() && tensors.empty() &&
           collectives.empty();
  }
};

// Only what differs. Of valid plans.
PlanDifference ComparePlans(const Plan& before, const Plan& after);

// As tables; repeated blocks that changed alike are folded unless `unfold`.
std::string DifferenceText(const PlanDifference& difference, bool unfold,
                           int width);
std::string DifferenceJson(const PlanDifference& difference);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_PLAN_DIFF_H_
