#include "ops/testing/half_operands.h"

#include <algorithm>

namespace facet::ops {

std::vector<TensorType> WithHalf(const OpDef& def,
                                 std::vector<TensorType> types, DataType half) {
  if (def.precision.kind == PrecisionRule::Kind::kFloat32) return types;
  const int count = static_cast<int>(types.size());
  const int last = static_cast<int>(def.inputs.size()) - 1;
  for (int operand : def.precision.operands) {
    // A variadic last operand stands for all of its repetitions.
    const int end =
        def.variadic && operand == last ? count : std::min(operand + 1, count);
    for (int i = operand; i < end; ++i) {
      if (types[i].dtype == DataType::kFloat32) types[i].dtype = half;
    }
  }
  return types;
}

}  // namespace facet::ops
