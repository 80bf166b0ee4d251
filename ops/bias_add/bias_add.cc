// bias_add: one number per column, added to every row.
#include "absl/strings/str_cat.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  const TensorType& bias = call.inputs[1];
  if (x.shape.rank() != 2 || !IsFloating(x.dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("x is ", x.ToString(), "; expected floating [N, C]"));
  }
  const TensorType expected = {x.dtype, {x.shape[1]}};
  if (bias != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("bias is ", bias.ToString(), "; expected ",
                     expected.ToString(), ", as x is ", x.ToString()));
  }
  outputs->push_back(x);
  return absl::OkStatus();
}

absl::Status Gradient(GradientContext* context) {
  const TensorId dy = context->output_gradient(0);
  if (context->wants_input_gradient(0)) context->set_input_gradient(0, dy);
  if (context->wants_input_gradient(1)) {
    ASSIGN_OR_RETURN(std::vector<TensorId> sum,
                     context->Add("reduce_sum", {dy}, {{"axis", int64_t{0}}}));
    context->set_input_gradient(1, sum[0]);
  }
  return absl::OkStatus();
}

}  // namespace

OpDef BiasAddDef() {
  OpDef def;
  def.name = "bias_add";
  def.summary = "adds a bias to every row";
  def.inputs = {"x", "bias"};
  def.outputs = {"y"};
  def.infer = Infer;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(2, 1, Sbp::B()),
            {{Sbp::S(0), Sbp::B()}, {Sbp::S(0)}},
            {{Sbp::S(1), Sbp::S(0)}, {Sbp::S(1)}}};
  };
  def.gradient = Gradient;
  def.cost = [](const OpCall& local) {
    Cost cost;
    cost.flops = static_cast<double>(local.outputs[0].shape.num_elements());
    cost.bytes = 2.0 * local.inputs[0].size_bytes() +
                 static_cast<double>(local.inputs[1].size_bytes());
    return cost;
  };
  def.in_place = {{0, 0}};
  def.precision = {PrecisionRule::Kind::kFollow, {0, 1}};
  const DataType f32 = DataType::kFloat32;
  def.examples = {{{}, {{f32, {7, 9}}, {f32, {9}}}, {}},
                  {{}, {{f32, {8, 6}}, {f32, {6}}}, {}}};
  return def;
}

}  // namespace facet::ops
