// Dynamic loss scaling: overflow says whether a step has to be skipped,
// loss_scale_update moves the scale after it. Formula: loss_scale.h.
#include "absl/strings/str_cat.h"
#include "ops/expect_type.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status InferUpdate(const OpCall& call, std::vector<TensorType>*) {
  static constexpr absl::string_view kNames[] = {"loss_scale", "good_steps",
                                                 "skip"};
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    RETURN_IF_ERROR(ExpectScalar(kNames[i], call.inputs[i]));
  }
  const int64_t interval = call.attributes.Int("growth_interval");
  // Steps are counted in float32.
  constexpr int64_t kMost = int64_t{1} << 24;
  if (interval < 1 || interval > kMost) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute \"growth_interval\" is ", interval,
                     "; it must be in [1, ", kMost, "]"));
  }
  return absl::OkStatus();
}

}  // namespace

OpDef OverflowDef() {
  OpDef def;
  def.name = "overflow";
  def.summary = "1 if the value is not finite, else 0";
  def.inputs = {"square_norm"};
  def.outputs = {"skip"};
  def.infer = [](const OpCall& call, std::vector<TensorType>* outputs) {
    outputs->push_back(call.inputs[0]);
    return ExpectScalar("square_norm", call.inputs[0]);
  };
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(1, 1, Sbp::B())};
  };
  def.examples = {{{}, {{DataType::kFloat32, {}}}, {}}};
  return def;
}

OpDef LossScaleUpdateDef() {
  OpDef def;
  def.name = "loss_scale_update";
  def.summary =
      "halves the loss scale after an overflow, doubles it after "
      "many good steps";
  def.attributes = {{"growth_interval", int64_t{100}, false,
                     "good steps in a row before the scale doubles"}};
  def.inputs = {"loss_scale", "good_steps", "skip"};
  def.infer = InferUpdate;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(3, 0, Sbp::B())};
  };
  def.mutates = {0, 1};
  def.has_side_effect = true;
  const TensorType scalar = {DataType::kFloat32, {}};
  def.examples = {{{{"growth_interval", int64_t{100}}},
                   {scalar, scalar, scalar},
                   {{1, 128}, {0, 99}, {0, 0}}},
                  {{{"growth_interval", int64_t{1}}},
                   {scalar, scalar, scalar},
                   {{1, 128}, {0, 99}, {0, 0}}}};
  return def;
}

}  // namespace facet::ops
