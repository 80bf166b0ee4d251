// CheckMemory: does a plan fit into the cluster it was made for?
#ifndef FACET_PLACEMENT_MEMORY_CHECK_H_
#define FACET_PLACEMENT_MEMORY_CHECK_H_

#include "absl/status/status.h"
#include "placement/cluster.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// ResourceExhausted says what each device and all together need, what there
// is, what takes most of it, and which flags help. Devices with memory of
// their own are checked one by one, the others against the host's together.
absl::Status CheckMemory(const Plan& plan, const Cluster& cluster);

// Bytes by which the arena of the device that fits least is too large; below 0:
// what it has to spare. Devices that share the host's memory count as if each
// had an equal part of it. Infinitely much to spare where nothing is limited.
double BytesOver(const Plan& plan, const Cluster& cluster);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_MEMORY_CHECK_H_
