// PlanMemory: an address for every register and workspace in one arena per
// device, from their lifetimes in the given order.
#ifndef FACET_PLACEMENT_PASSES_PLAN_MEMORY_H_
#define FACET_PLACEMENT_PASSES_PLAN_MEMORY_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "placement/passes/split_per_device.h"

namespace facet::placement {

// A wait that reused memory makes necessary: `task` in step s after
// `predecessor` in step s - steps.
struct MemoryWait {
  int task = 0;
  int predecessor = 0;
  int steps = 0;
};

struct MemoryPlan {
  struct Device {
    int64_t arena_bytes = 0;
    int64_t persistent_bytes = 0;
    int64_t live_bytes = 0;  // See plan.proto.
  };
  std::vector<Device> devices;
  std::vector<int64_t> register_offset;   // By register, multiples of 64.
  std::vector<int64_t> slot_stride;       // By register.
  std::vector<int64_t> workspace_offset;  // By task.
  // By task: the in-place pairs that were used.
  std::vector<std::vector<ops::InPlacePair>> in_place;
  std::vector<MemoryWait> waits;
};

// Tasks of one (device, stream) run one after the other; nothing else is known
// about their relative speed, so registers of different streams share memory
// only behind a wait.
absl::StatusOr<MemoryPlan> PlanMemory(const TaskGraph& tasks, int num_devices);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_PLAN_MEMORY_H_
