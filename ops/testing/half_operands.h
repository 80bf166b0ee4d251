// Which operands of an op come in half precision when the user asks for it, as
// its PrecisionRule says: for tests that repeat a case in half.
#ifndef FACET_OPS_TESTING_HALF_OPERANDS_H_
#define FACET_OPS_TESTING_HALF_OPERANDS_H_

#include <vector>

#include "ops/graph/graph.h"
#include "ops/op_def.h"

namespace facet::ops {

// `types` with `half` in place of float32 where the rule allows it; unchanged
// if it allows it nowhere, or if `half` is float32.
std::vector<TensorType> WithHalf(const OpDef& def,
                                 std::vector<TensorType> types, DataType half);

}  // namespace facet::ops

#endif  // FACET_OPS_TESTING_HALF_OPERANDS_H_
