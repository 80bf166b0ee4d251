// matmul: the product of two matrices, either of them transposed. Kernels:
// cpu.cc.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/gradient.h"
#include "ops/matmul/algorithm.h"
#include "ops/may_round_attribute.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status CheckMatrix(absl::string_view name, const TensorType& type) {
  if (type.shape.rank() == 2 && IsFloating(type.dtype)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      name, " is ", type.ToString(), "; expected a floating matrix"));
}

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& a = call.inputs[0];
  const TensorType& b = call.inputs[1];
  RETURN_IF_ERROR(CheckMatrix("a", a));
  RETURN_IF_ERROR(CheckMatrix("b", b));
  if (a.dtype != b.dtype) {
    return absl::InvalidArgumentError(
        absl::StrCat("a is ", a.ToString(), " but b is ", b.ToString(),
                     "; both must have the same type: cast one"));
  }
  const int transpose_a = call.attributes.Bool("transpose_a");
  const int transpose_b = call.attributes.Bool("transpose_b");
  const int64_t a_inner = a.shape[1 - transpose_a];
  const int64_t b_inner = b.shape[transpose_b];
  if (a_inner != b_inner) {
    return absl::InvalidArgumentError(
        absl::StrCat("a", transpose_a ? " transposed" : "", " has ", a_inner,
                     " columns but b", transpose_b ? " transposed" : "",
                     " has ", b_inner, " rows (a is ", a.ToString(), ", b is ",
                     b.ToString(), "); check transpose_a and transpose_b"));
  }
  RETURN_IF_ERROR(CheckMatmulAlgorithm(call.attributes.String("algorithm")));
  outputs->push_back(
      {a.dtype, {a.shape[transpose_a], b.shape[1 - transpose_b]}});
  return absl::OkStatus();
}

std::vector<Signature> Signatures(const OpCall& call, int) {
  const int transpose_a = call.attributes.Bool("transpose_a");
  const int transpose_b = call.attributes.Bool("transpose_b");
  return {Uniform(2, 1, Sbp::B()),
          {{Sbp::S(transpose_a), Sbp::B()}, {Sbp::S(0)}},
          {{Sbp::B(), Sbp::S(1 - transpose_b)}, {Sbp::S(1)}},
          {{Sbp::S(1 - transpose_a), Sbp::S(transpose_b)}, {Sbp::PSum()}}};
}

// With A and B the operands as multiplied: dA = dy * B^T, dB = A^T * dy, each
// transposed back if its operand was.
absl::Status Gradient(GradientContext* context) {
  const TensorId a = context->input(0);
  const TensorId b = context->input(1);
  const TensorId dy = context->output_gradient(0);
  const bool transpose_a = context->attributes().Bool("transpose_a");
  const bool transpose_b = context->attributes().Bool("transpose_b");
  const bool may_round = context->attributes().Bool(kMayRound);
  auto product = [&](int input, TensorId left, bool transpose_left,
                     TensorId right, bool transpose_right) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<TensorId> gradient,
                     context->Add("matmul", {left, right},
                                  {{"transpose_a", transpose_left},
                                   {"transpose_b", transpose_right},
                                   {kMayRound, may_round}}));
    context->set_input_gradient(input, gradient[0]);
    return absl::OkStatus();
  };
  if (context->wants_input_gradient(0)) {
    RETURN_IF_ERROR(transpose_a ? product(0, b, transpose_b, dy, true)
                                : product(0, dy, false, b, !transpose_b));
  }
  if (context->wants_input_gradient(1)) {
    RETURN_IF_ERROR(transpose_b ? product(1, dy, true, a, transpose_a)
                                : product(1, a, !transpose_a, dy, false));
  }
  return absl::OkStatus();
}

OpExample Example(Shape a, Shape b, bool transpose_a, bool transpose_b) {
  OpExample example;
  example.attributes = {{"transpose_a", transpose_a},
                        {"transpose_b", transpose_b}};
  example.inputs = {{DataType::kFloat32, std::move(a)},
                    {DataType::kFloat32, std::move(b)}};
  return example;
}

}  // namespace

OpDef MatmulDef() {
  OpDef def;
  def.name = "matmul";
  def.summary = "matrix product";
  def.attributes = {{"transpose_a", false, false, "a is [K, M], not [M, K]"},
                    {"transpose_b", false, false, "b is [N, K], not [K, N]"},
                    {"algorithm", std::string("auto"), false,
                     "\"auto\": the device decides; on GPUs also \"cublas\" "
                     "and \"cublaslt:N\""},
                    MayRoundAttribute()};
  def.inputs = {"a", "b"};
  def.outputs = {"y"};
  def.infer = Infer;
  def.signatures = Signatures;
  def.gradient = Gradient;
  def.cost = [](const OpCall& local) {
    const Shape& y = local.outputs[0].shape;
    const int64_t inner =
        local.inputs[0].shape[local.attributes.Bool("transpose_a") ? 0 : 1];
    Cost cost;
    cost.flops = 2.0 * static_cast<double>(y.num_elements()) *
                 static_cast<double>(inner);
    for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
    cost.bytes += local.outputs[0].size_bytes();
    return cost;
  };
  def.precision = {PrecisionRule::Kind::kHalf, {0, 1}};
  def.examples = {Example({7, 9}, {9, 10}, false, false),
                  Example({6, 11}, {9, 11}, false, true),
                  Example({13, 5}, {13, 8}, true, false),
                  Example({8, 7}, {5, 8}, true, true)};
  return def;
}

}  // namespace facet::ops
