// scale: a tensor times a constant. reciprocal: 1 / x by element.
#include "absl/strings/str_cat.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status InferScale(const OpCall& call, std::vector<TensorType>* outputs) {
  if (!IsFloating(call.inputs[0].dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("input x is ", call.inputs[0].ToString(),
                     "; expected float32, float16 or bfloat16"));
  }
  outputs->push_back(call.inputs[0]);
  return absl::OkStatus();
}

absl::Status InferReciprocal(const OpCall& call,
                             std::vector<TensorType>* outputs) {
  if (call.inputs[0].dtype != DataType::kFloat32) {
    return absl::InvalidArgumentError(absl::StrCat(
        "input x is ", call.inputs[0].ToString(), "; expected float32"));
  }
  outputs->push_back(call.inputs[0]);
  return absl::OkStatus();
}

absl::Status ScaleGradient(GradientContext* context) {
  ASSIGN_OR_RETURN(std::vector<TensorId> dx,
                   context->Add("scale", {context->output_gradient(0)},
                                context->attributes()));
  context->set_input_gradient(0, dx[0]);
  return absl::OkStatus();
}

Cost LocalCostOf(const OpCall& local) {
  return {1.0 * local.inputs[0].shape.num_elements(),
          2.0 * local.inputs[0].size_bytes()};
}

}  // namespace

OpDef ScaleDef() {
  OpDef def;
  def.name = "scale";
  def.summary = "x * factor";
  def.attributes = {{"factor", 1.0, true, "a constant"}};
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = InferScale;
  def.signatures = [](const OpCall& call, int) {
    std::vector<Signature> signatures =
        UniformSignatures(1, 1, call.inputs[0].shape.rank());
    signatures.push_back(Uniform(1, 1, Sbp::PSum()));
    return signatures;
  };
  def.gradient = ScaleGradient;
  def.cost = LocalCostOf;
  def.in_place = {{0, 0}};
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{0}, {0}, true};
  def.examples = {
      {{{"factor", -0.75}}, {{DataType::kFloat32, {7, 6}}}, {}},
      {{{"factor", 3.0}}, {{DataType::kFloat32, {5, 8, 3, 3}}}, {}}};
  return def;
}

OpDef ReciprocalDef() {
  OpDef def;
  def.name = "reciprocal";
  def.summary = "1 / x";
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = InferReciprocal;
  def.signatures = [](const OpCall& call, int) {
    return UniformSignatures(1, 1, call.inputs[0].shape.rank());
  };
  def.cost = LocalCostOf;
  def.in_place = {{0, 0}};
  def.precision.kind = PrecisionRule::Kind::kFloat32;
  def.layout = {{0}, {0}, true};
  def.examples = {{{}, {{DataType::kFloat32, {7, 6}}}, {{0.5, 4}}}};
  return def;
}

}  // namespace facet::ops
