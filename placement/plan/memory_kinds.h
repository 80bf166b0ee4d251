// Devices that need the same memory: what a table says of them in one line.
#ifndef FACET_PLACEMENT_PLAN_MEMORY_KINDS_H_
#define FACET_PLACEMENT_PLAN_MEMORY_KINDS_H_

#include <string>
#include <vector>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

struct MemoryKind {
  // "cpu:0", "cpu:0 ... cpu:3", or "cpu:0 and 2 more" if there are others
  // between them.
  std::string name;
  int device = 0;  // The first.
};

// In the order of their first devices.
std::vector<MemoryKind> MemoryKinds(const Plan& plan);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_MEMORY_KINDS_H_
