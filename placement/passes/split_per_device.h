// SplitPerDevice: from one graph to tasks and registers on every device;
// boxing nodes become packs, collectives and unpacks (placement/boxing). What
// the tasks' kernels need is not known yet (choose_kernels.h).
#ifndef FACET_PLACEMENT_PASSES_SPLIT_PER_DEVICE_H_
#define FACET_PLACEMENT_PASSES_SPLIT_PER_DEVICE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/kernel.h"
#include "ops/op_def.h"
#include "placement/boxing/boxing.h"
#include "placement/cluster.h"
#include "placement/passes/assign_layout.h"

namespace facet::placement {

// A device's buffer, without an address yet.
struct LocalRegister {
  std::string name;
  int device = 0;
  ops::TensorId tensor = ops::kNone;  // kNone: a packing buffer.
  ops::TensorSlice slice;
  bool persistent = false;
  int credits = 1;
};

// A device's part in a collective.
struct LocalCollective {
  CollectiveKind kind = CollectiveKind::kNone;  // kNone: the task is a kernel.
  ReduceKind reduce = ReduceKind::kNone;
  int group = 0;  // Index into TaskGraph::groups.
  std::vector<int64_t> counts;
  std::vector<int64_t> receive_counts;
  int64_t bytes = 0;
  double latency_seconds = 0;  // Of its predicted time: however few bytes.
  std::string transition;      // "P(sum) -> B"
};

struct LocalTask {
  std::string name;
  int device = 0;
  ops::NodeId node = ops::kNone;  // Of the placed graph.
  std::string op;                 // Empty for a collective.
  int parts = 1;                  // Applications of the op (GroupTasks).
  ops::Attributes attributes;
  LocalCollective collective;
  ops::StreamKind stream = ops::StreamKind::kCompute;
  std::vector<int> inputs;  // Registers of this device.
  std::vector<int> outputs;
  std::vector<int> mutates;                // Indices into inputs.
  std::vector<ops::InPlacePair> in_place;  // What the op allows.
  ops::Origin origin;
  bool once = false;
  int rank = 0;
  int num_ranks = 1;
  int64_t workspace_bytes = 0;   // Of kernels: by ChooseKernels.
  double predicted_seconds = 0;  // Of collectives; of kernels the same.
};

struct TaskGraph {
  std::vector<LocalRegister> registers;
  // In an order that every device can execute from first to last, and in
  // which the collectives of each group come in the same order everywhere.
  std::vector<LocalTask> tasks;
  std::vector<std::vector<int>> groups;  // Devices in rank order.
  // By device: the one whose tasks and registers stand here for it, too. Empty:
  // all have their own.
  std::vector<int> like;
};

// `data_credits`: slots of registers that data-stream tasks write. `like`: as
// TaskGraph's.
absl::StatusOr<TaskGraph> SplitPerDevice(const LaidOutGraph& graph,
                                         const Cluster& cluster,
                                         int data_credits, ops::OpLookup lookup,
                                         std::vector<int> like = {});

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_SPLIT_PER_DEVICE_H_
