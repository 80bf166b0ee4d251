// PReLU: y = x where x > 0, else alpha * x, with one alpha per channel; and
// its gradient. At 0 the slope is alpha, as in PyTorch. Kernels: cpu.cc.

#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status CheckOperands(const TensorType& x, const TensorType& alpha) {
  if (x.shape.rank() < 2 || !IsFloating(x.dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("x is ", x.ToString(), "; expected floating [N, C, ...]"));
  }
  const TensorType expected = {DataType::kFloat32, {x.shape[1]}};
  if (alpha != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("alpha is ", alpha.ToString(), "; expected ",
                     expected.ToString(), ", one per channel of x"));
  }
  return absl::OkStatus();
}

absl::Status InferPrelu(const OpCall& call, std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckOperands(call.inputs[0], call.inputs[1]));
  outputs->push_back(call.inputs[0]);
  return absl::OkStatus();
}

absl::Status InferPreluGrad(const OpCall& call,
                            std::vector<TensorType>* outputs) {
  const TensorType& dy = call.inputs[0];
  const TensorType& x = call.inputs[1];
  RETURN_IF_ERROR(CheckOperands(x, call.inputs[2]));
  if (dy != x) {
    return absl::InvalidArgumentError(absl::StrCat(
        "dy is ", dy.ToString(), "; expected ", x.ToString(), ", as x is"));
  }
  outputs->push_back(x);
  outputs->push_back(call.inputs[2]);
  return absl::OkStatus();
}

absl::Status PreluGradient(GradientContext* context) {
  ASSIGN_OR_RETURN(
      std::vector<TensorId> gradients,
      context->Add("prelu_grad", {context->output_gradient(0),
                                  context->input(0), context->input(1)}));
  for (int i = 0; i < 2; ++i) {
    if (context->wants_input_gradient(i)) {
      context->set_input_gradient(i, gradients[i]);
    }
  }
  return absl::OkStatus();
}

Cost PreluCost(const OpCall& local, double flops_per_element) {
  Cost cost;
  cost.flops = flops_per_element *
               static_cast<double>(local.inputs[0].shape.num_elements());
  for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
  for (const TensorType& type : local.outputs) cost.bytes += type.size_bytes();
  return cost;
}

std::vector<TensorType> ExampleInputs() {
  return {{DataType::kFloat32, {7, 6, 5, 3}}, {DataType::kFloat32, {9, 5}}};
}

TensorType AlphaOf(const TensorType& x) {
  return {DataType::kFloat32, {x.shape[1]}};
}

}  // namespace

OpDef PreluDef() {
  OpDef def;
  def.name = "prelu";
  def.summary = "x where positive, else alpha * x";
  def.inputs = {"x", "alpha"};
  def.outputs = {"y"};
  def.infer = InferPrelu;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(2, 1, Sbp::B()),
            {{Sbp::S(0), Sbp::B()}, {Sbp::S(0)}},
            {{Sbp::S(1), Sbp::S(0)}, {Sbp::S(1)}}};
  };
  def.gradient = PreluGradient;
  def.cost = [](const OpCall& local) { return PreluCost(local, 2); };
  def.in_place = {{0, 0}};
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{0}, {0}, true};
  for (const TensorType& x : ExampleInputs()) {
    def.examples.push_back({{}, {x, AlphaOf(x)}, {}});
  }
  return def;
}

OpDef PreluGradDef() {
  OpDef def;
  def.name = "prelu_grad";
  def.summary = "gradient of prelu by x and alpha";
  def.inputs = {"dy", "x", "alpha"};
  def.outputs = {"dx", "dalpha"};
  def.infer = InferPreluGrad;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(3, 2, Sbp::B()),
            {{Sbp::S(0), Sbp::S(0), Sbp::B()}, {Sbp::S(0), Sbp::PSum()}},
            {{Sbp::S(1), Sbp::S(1), Sbp::S(0)}, {Sbp::S(1), Sbp::S(0)}}};
  };
  def.cost = [](const OpCall& local) { return PreluCost(local, 4); };
  def.in_place = {{0, 0}, {1, 0}};
  def.precision = {PrecisionRule::Kind::kFollow, {1, 0}};
  def.layout = {{0, 1}, {0}, true};
  for (const TensorType& x : ExampleInputs()) {
    def.examples.push_back({{}, {x, x, AlphaOf(x)}, {}});
  }
  return def;
}

}  // namespace facet::ops
