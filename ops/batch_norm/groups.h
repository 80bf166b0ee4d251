// The groups of a batch, each with statistics of its own: which of a device's
// rows are whose, and how many values each has (batch_norm.cc).
#ifndef FACET_OPS_BATCH_NORM_GROUPS_H_
#define FACET_OPS_BATCH_NORM_GROUPS_H_

#include <algorithm>
#include <vector>

#include "glog/logging.h"
#include "ops/graph/shard.h"
#include "ops/kernel.h"

namespace facet::ops {

// Which of a device's rows belong to which of its groups.
struct Groups {
  std::vector<Range> local_rows;  // By local group.
  std::vector<double> counts;     // Values per channel, of all devices.
};

// `statistics` is the share of a [G, C] operand that belongs to the share x.
inline Groups MakeGroups(const TensorSlice& x, const TensorSlice& statistics) {
  const int num_groups = static_cast<int>(statistics.global_shape[0]);
  const int64_t x_begin = x.offset[0];
  const int64_t x_end = x_begin + x.shape[0];
  const double spatial = static_cast<double>(
      x.global_shape.num_elements(2, x.global_shape.rank()));
  Groups groups;
  for (int64_t i = 0; i < statistics.shape[0]; ++i) {
    const Range rows = ShardRange(x.global_shape[0], num_groups,
                                  static_cast<int>(statistics.offset[0] + i));
    const int64_t begin = std::clamp(rows.begin, x_begin, x_end);
    const int64_t end = std::clamp(rows.end, x_begin, x_end);
    groups.local_rows.push_back({begin - x_begin, end - x_begin});
    groups.counts.push_back(static_cast<double>(rows.size()) * spatial);
  }
  // The signatures give a device all groups of its rows.
  int64_t covered = 0;
  for (const Range& rows : groups.local_rows) covered += rows.size();
  CHECK_EQ(covered, x.shape[0]) << "rows of x without a group";
  return groups;
}

// The share of a [G, C] operand, of an op whose first inputs are activations:
// the input after them, or an output if there are no more.
inline const TensorSlice& StatisticsSlice(const KernelSpec& spec,
                                          int num_activations) {
  const size_t i = num_activations;
  return i < spec.inputs.size() ? spec.inputs[i] : spec.outputs[0];
}

// The counts of batch_norm_update's local groups.
inline std::vector<double> UpdateCounts(const KernelSpec& spec) {
  const TensorSlice& slice = spec.inputs[0];
  const int groups = static_cast<int>(slice.global_shape[0]);
  std::vector<double> counts;
  for (int64_t i = 0; i < slice.shape[0]; ++i) {
    const Range rows = ShardRange(spec.attributes.Int("rows"), groups,
                                  static_cast<int>(slice.offset[0] + i));
    counts.push_back(
        static_cast<double>(rows.size() * spec.attributes.Int("spatial")));
  }
  return counts;
}

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_GROUPS_H_
