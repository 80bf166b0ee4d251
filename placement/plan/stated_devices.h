// Plans for many devices state the tasks and registers of equal ones once.
#ifndef FACET_PLACEMENT_PLAN_STATED_DEVICES_H_
#define FACET_PLACEMENT_PLAN_STATED_DEVICES_H_

#include <vector>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

// The device's own tasks stand in the plan, not only those of its equal.
inline bool IsStated(const Device& device) { return !device.has_like(); }

// By device: how many it stands for, itself included; 0: it is not stated.
inline std::vector<int> CountLike(const Plan& plan) {
  std::vector<int> counts(plan.devices_size(), 0);
  for (int d = 0; d < plan.devices_size(); ++d) {
    const Device& device = plan.devices(d);
    ++counts[device.has_like() ? device.like() : d];
  }
  return counts;
}

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_STATED_DEVICES_H_
