// GroupedOp: the definition of an op that treats every channel of every group
// of the batch by itself, made from a list of what its operands are: batch
// norm, and what is fused with it.
#ifndef FACET_OPS_BATCH_NORM_GROUPED_OP_H_
#define FACET_OPS_BATCH_NORM_GROUPED_OP_H_

#include <string>
#include <vector>

#include "ops/op_def.h"

namespace facet::ops {

// x is [N, C, ...]; the batch falls into G groups by the shard rule.
struct GroupedOperand {
  enum class Kind {
    kActivation,   // As x is.
    kStatistic,    // f32[G, C], what holds for a group's rows.
    kPartialSums,  // f32[G, C], added up over the rows by the op.
    kChannel,      // f32[C]
  };
  std::string name;
  Kind kind = Kind::kActivation;
  InputDomain domain = {-1, 1};  // Of examples.
};

// Of x in [-1, 1): square_sum / n is well above mean^2 if sum stays small.
GroupedOperand SumOperand();
GroupedOperand SquareSumOperand();
GroupedOperand ChannelOperand(std::string name);

struct GroupedOpOptions {
  std::string name;
  std::string summary;
  std::vector<GroupedOperand> inputs;  // One of them is called "x".
  std::vector<GroupedOperand> outputs;
  double flops_per_element = 0;  // Of x.
  bool normalises = true;        // Has the attribute eps.
};

// All but the gradient. By batch where a device's rows are whole groups or all
// rows are one group, by channel, or not at all. An activation that comes out
// may lie over any that goes in.
OpDef GroupedOp(const GroupedOpOptions& options);

// For ops that are not grouped, but have the same operands: InvalidArgument
// unless groups is from 1 to `rows`; the type is float32 and `shape`; the type
// is floating, of rank 2 or more; eps is above 0.
absl::Status CheckGroups(int64_t groups, int64_t rows);
absl::Status CheckFloat32(absl::string_view name, const TensorType& type,
                          const Shape& shape);
absl::Status CheckActivation(absl::string_view name, const TensorType& type);
absl::Status CheckBatchNormEps(const Attributes& attributes);

AttributeSpec GroupsAttribute();
AttributeSpec BatchNormEpsAttribute();

// Memory traffic decides; the arithmetic is a few operations per element.
Cost ActivationCost(const OpCall& local, int x_input, double flops_per_element);

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_GROUPED_OP_H_
