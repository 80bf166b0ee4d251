// FindEqualDevices: devices that do the same, on shares of the same sizes. A
// plan for many devices states the tasks of each kind of them once.
#ifndef FACET_PLACEMENT_PASSES_EQUAL_DEVICES_H_
#define FACET_PLACEMENT_PASSES_EQUAL_DEVICES_H_

#include <vector>

#include "placement/cluster.h"
#include "placement/passes/assign_layout.h"

namespace facet::placement {

// By device: the first one, perhaps itself, that is the same hardware and whose
// shares of all tensors have the same shapes. Each split gives the first
// devices one more than the others, so there are few kinds.
std::vector<int> FindEqualDevices(const LaidOutGraph& graph,
                                  const Cluster& cluster);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_EQUAL_DEVICES_H_
