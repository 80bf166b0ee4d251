// The end of a residual block, fused: batch norm, the addition of the shortcut,
// and the statistics that the next block's batch norm wants of the result,
// which are summed while it is written:
//
//   y = batch_norm(x, sum, square_sum, scale, bias) + addend
//   y_sum, y_square_sum = batch_norm_statistics(y)
//
// and where the gradients of a block's two branches meet:
//
//   dx = batch_norm_grad_input(dy, x, ...) + addend
//
// In bytes, for an activation of A: 3 A where the three ops move 6 A, and 4 A
// where the two move 6 A.
#include <vector>

#include "ops/batch_norm/gradient.h"
#include "ops/batch_norm/grouped_op.h"
#include "ops/batch_norm_add/fuse.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

using Kind = GroupedOperand::Kind;

absl::Status Gradient(GradientContext* context) {
  if (context->wants_input_gradient(1)) {
    context->set_input_gradient(1, context->output_gradient(0));
  }
  return BatchNormGradient(/*sum_input=*/2, context);
}

}  // namespace

OpDef BatchNormAddDef() {
  OpDef def = GroupedOp({"batch_norm_add",
                         "batch_norm plus addend, and the sum's statistics",
                         {{"x"},
                          {"addend"},
                          SumOperand(),
                          SquareSumOperand(),
                          ChannelOperand("scale"),
                          ChannelOperand("bias")},
                         {{"y"},
                          {"y_sum", Kind::kPartialSums},
                          {"y_square_sum", Kind::kPartialSums}},
                         7});
  def.gradient = Gradient;
  def.fuse = FuseBatchNormAdd;
  def.fuse_keeps_signatures = true;
  return def;
}

OpDef BatchNormGradInputAddDef() {
  OpDef def = GroupedOp({"batch_norm_grad_input_add",
                         "batch_norm_grad_input plus addend",
                         {{"dy"},
                          {"x"},
                          {"addend"},
                          SumOperand(),
                          SquareSumOperand(),
                          ChannelOperand("scale"),
                          {"bias_grad", Kind::kStatistic, {-3, 3}},
                          {"scale_grad", Kind::kStatistic, {-3, 3}}},
                         {{"dx"}},
                         6});
  def.fuse = FuseBatchNormGradInputAdd;
  def.fuse_keeps_signatures = true;
  return def;
}

}  // namespace facet::ops
