// BucketCollectives: all-reduces whose results only the optimizer waits for (a
// gradient each, many of them small) are joined into fewer, larger ones: a
// bucket pays the links' latency once, but begins only when its last gradient
// is there (Li et al., "PyTorch Distributed", VLDB 2020, section 3.2).
#ifndef FACET_PLACEMENT_PASSES_BUCKET_COLLECTIVES_H_
#define FACET_PLACEMENT_PASSES_BUCKET_COLLECTIVES_H_

#include <cstdint>
#include <vector>

#include "placement/passes/split_per_device.h"
#include "placement/passes/task_units.h"

namespace facet::placement {

// `ordered`: as OrderTasks left it, so that gradients come in the order in
// which they are ready. The size of the buckets is the one with the shortest
// modelled step; where none is shorter than without, nothing changes. The
// result may be executed in many orders: order it again.
TaskGraph BucketCollectives(TaskGraph ordered);

// Buckets, each a list of two or more units in the order of the graph: filled
// one after the other, closed when the next unit would make it exceed
// `limit_bytes` (sent by a device), needs the result of one in it, or is of
// another group, reduction or part of the model. Joining each leaves no cycle.
std::vector<std::vector<int>> FindBuckets(const TaskGraph& graph,
                                          const std::vector<TaskUnit>& units,
                                          int64_t limit_bytes);

// Seconds of a step, each stream executing what is ready first, with these
// units joined.
double ScheduledSeconds(const TaskGraph& graph,
                        const std::vector<TaskUnit>& units,
                        const std::vector<std::vector<int>>& buckets);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_BUCKET_COLLECTIVES_H_
