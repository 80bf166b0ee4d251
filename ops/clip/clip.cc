// Gradient clipping by the norm of all gradients: square_norm of each, their
// sum, clip_factor of that, which sgd_update multiplies the gradients by.
#include "absl/strings/str_cat.h"
#include "ops/expect_type.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

const TensorType& Scalar() {
  static const TensorType& type = *new TensorType{DataType::kFloat32, {}};
  return type;
}

absl::Status InferSquareNorm(const OpCall& call,
                             std::vector<TensorType>* outputs) {
  if (!IsFloating(call.inputs[0].dtype)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "x is ", call.inputs[0].ToString(), "; expected a floating type"));
  }
  outputs->push_back(Scalar());
  return absl::OkStatus();
}

absl::Status InferClipFactor(const OpCall& call,
                             std::vector<TensorType>* outputs) {
  static constexpr absl::string_view kNames[] = {"square_norm", "loss_scale"};
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    RETURN_IF_ERROR(ExpectScalar(kNames[i], call.inputs[i]));
  }
  const double max_norm = call.attributes.Float("max_norm");
  if (!(max_norm > 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"max_norm\" is ", max_norm, "; it must be above 0"));
  }
  outputs->push_back(Scalar());
  return absl::OkStatus();
}

}  // namespace

OpDef SquareNormDef() {
  OpDef def;
  def.name = "square_norm";
  def.may_group = true;
  def.summary = "the sum of squares of all elements";
  def.inputs = {"x"};
  def.outputs = {"sum"};
  def.infer = InferSquareNorm;
  def.signatures = [](const OpCall& call, int) {
    std::vector<Signature> signatures = {Uniform(1, 1, Sbp::B())};
    for (int axis = 0; axis < call.inputs[0].shape.rank(); ++axis) {
      signatures.push_back({{Sbp::S(axis)}, {Sbp::PSum()}});
    }
    return signatures;
  };
  def.cost = [](const OpCall& local) {
    const TensorType& x = local.inputs[0];
    return Cost{2.0 * static_cast<double>(x.shape.num_elements()),
                static_cast<double>(x.size_bytes())};
  };
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  const DataType f32 = DataType::kFloat32;
  def.examples = {{{}, {{f32, {7, 13}}}, {}},
                  {{}, {{f32, {6, 5, 3, 3}}}, {}},
                  {{}, {{f32, {11}}}, {}}};
  return def;
}

OpDef ClipFactorDef() {
  OpDef def;
  def.name = "clip_factor";
  def.summary =
      "what to multiply gradients by so that their norm is at most "
      "max_norm";
  def.attributes = {{"max_norm", 0.0, true, "largest norm of all gradients"}};
  def.inputs = {"square_norm", "loss_scale"};
  def.num_optional_inputs = 1;
  def.outputs = {"factor"};
  def.infer = InferClipFactor;
  def.signatures = [](const OpCall& call, int) -> std::vector<Signature> {
    return {Uniform(static_cast<int>(call.inputs.size()), 1, Sbp::B())};
  };
  def.examples = {
      {{{"max_norm", 5.0}}, {Scalar()}, {{1, 100}}},
      {{{"max_norm", 5.0}}, {Scalar(), Scalar()}, {{1, 1e6}, {1, 128}}}};
  return def;
}

}  // namespace facet::ops
