// A convolution and the statistics of its result for batch norm, in one pass
// where a library can: what conv2d and batch_norm_statistics do. In bytes, for
// a result of A, A less to read.
#include <utility>

#include "ops/joined_op.h"
#include "ops/op_def.h"

namespace facet::ops {

// What it joins.
OpDef Conv2dDef();
OpDef BatchNormStatisticsDef();

OpDef Conv2dStatisticsDef() {
  const OpDef convolution = Conv2dDef();
  OpDef def = JoinedOp("conv2d_statistics",
                       "conv2d, and batch_norm_statistics of its result",
                       convolution, BatchNormStatisticsDef(),
                       /*keeps_between=*/true);
  for (int64_t groups : {1, 2, 4}) {
    for (OpExample example : convolution.examples) {
      // Uneven groups, but of four, which two devices can share evenly.
      if (groups == 4) {
        const Shape& x = example.inputs[0].shape;
        example.inputs[0].shape = {8, x[1], x[2], x[3]};
      }
      example.attributes.Set("groups", groups);
      def.examples.push_back(std::move(example));
    }
  }
  return def;
}

}  // namespace facet::ops
