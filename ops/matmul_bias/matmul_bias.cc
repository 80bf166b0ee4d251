// A product of matrices with a bias added to every row, in one pass where a
// library can: what matmul and bias_add do. In bytes, for a product of A, 2 A
// less to move.
#include <utility>

#include "ops/joined_op.h"
#include "ops/op_def.h"

namespace facet::ops {

// What it joins.
OpDef MatmulDef();
OpDef BiasAddDef();

OpDef MatmulBiasDef() {
  const OpDef matmul = MatmulDef();
  OpDef def = JoinedOp("matmul_bias", "matmul, then bias_add", matmul,
                       BiasAddDef(), /*keeps_between=*/false);
  def.precision.operands.push_back(2);  // As the product is.
  for (OpExample example : matmul.examples) {
    const bool transposed = example.attributes.Bool("transpose_b");
    const TensorType& b = example.inputs[1];
    example.inputs.push_back({b.dtype, {b.shape[transposed ? 0 : 1]}});
    def.examples.push_back(std::move(example));
  }
  return def;
}

}  // namespace facet::ops
