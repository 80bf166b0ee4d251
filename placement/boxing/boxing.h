// Boxing: changing a tensor from one SBP and set of devices to another. The
// ONE lowering that planner, cost model and runtime share: every transition is
// pack (local) -> at most one collective on contiguous memory -> unpack
// (local).
#ifndef FACET_PLACEMENT_BOXING_BOXING_H_
#define FACET_PLACEMENT_BOXING_BOXING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/attributes.h"
#include "ops/graph/graph.h"
#include "ops/graph/sbp.h"
#include "ops/graph/shard.h"
#include "placement/boxing/transition.h"

namespace facet::placement {

// Where a tensor is: the devices in rank order (no device twice), and how it
// lies over them.
struct Location {
  std::vector<int> devices;
  ops::Sbp sbp;
  friend bool operator==(const Location& a, const Location& b) {
    return a.devices == b.devices && a.sbp == b.sbp;
  }
};

// A local buffer of the lowered program. The source's shares are inputs, the
// destination's outputs; others are packing buffers in between.
struct BoxingValue {
  int device = 0;
  ops::Region region;  // Of the logical tensor; packing buffers: flat [n].
  bool packed = false;
};

// One piece of work on one device.
struct BoxingTask {
  int device = 0;
  // Local work: an op, "pack_regions" or "unpack_regions"; empty: the
  // device's part of the collective.
  std::string op;
  ops::Attributes attributes;
  int input = ops::kNone;   // Index into values; kNone: no input.
  int output = ops::kNone;  // kNone: sends only.
  // Of the collective, in elements, by position in BoxingProgram::group.
  std::vector<int64_t> counts;
  std::vector<int64_t> receive_counts;
};

struct BoxingProgram {
  CollectiveKind kind = CollectiveKind::kNone;
  ReduceKind reduce = ReduceKind::kNone;
  std::vector<int> group;  // Devices of the collective, in rank order.
  std::vector<BoxingValue> values;
  std::vector<BoxingTask> tasks;  // In an order that can be executed.
  std::vector<int> inputs;        // Value per source rank.
  std::vector<int> outputs;       // Value per destination rank; may be an input
                                  // (nothing to do).
  // The most bytes that any device sends.
  int64_t bytes_per_device = 0;
  // The most bytes of memory traffic of any device's local work.
  int64_t local_bytes_per_device = 0;
};

// InvalidArgument names tensor type and both locations where a transition does
// not exist: a split that leaves a device empty, P(sum) <-> P(max), P(max) of
// a type that is not ordered.
absl::StatusOr<BoxingProgram> LowerBoxing(const ops::TensorType& type,
                                          const Location& from,
                                          const Location& to);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_BOXING_BOXING_H_
