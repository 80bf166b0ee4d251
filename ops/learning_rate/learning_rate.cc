// learning_rate: a scalar that follows a schedule. Formula: schedule.h.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "ops/op_def.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const double base = call.attributes.Float("base");
  if (!(base >= 0) || std::isinf(base)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"base\" is ", base, "; it must be 0 or more, and finite"));
  }
  const int64_t warmup = call.attributes.Int("warmup_steps");
  if (warmup < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"warmup_steps\" is ", warmup, "; it must be 0 or more"));
  }
  const int64_t total = call.attributes.Int("total_steps");
  if (total != 0 && total <= warmup) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"total_steps\" is ", total, " but \"warmup_steps\" is ",
        warmup, "; the warm-up must end before the training does (total_steps ",
        "0 means no decay)"));
  }
  const std::string& style = call.attributes.String("warmup_style");
  if (style != "ramp" && style != "as_arcface_torch") {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute \"warmup_style\" is \"", style,
                     "\"; use \"ramp\" or \"as_arcface_torch\""));
  }
  const double power = call.attributes.Float("power");
  if (!(power > 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"power\" is ", power,
        "; it must be above 0 (for no decay, set total_steps to 0)"));
  }
  outputs->push_back({DataType::kFloat32, {}});
  return absl::OkStatus();
}

}  // namespace

OpDef LearningRateDef() {
  OpDef def;
  def.name = "learning_rate";
  def.summary = "the learning rate of the current step";
  def.attributes = {
      {"base", 0.0, true, "the rate after the warm-up"},
      {"warmup_steps", int64_t{0}, false, "steps of linear increase"},
      {"warmup_style", std::string("ramp"), false,
       "\"ramp\"; or \"as_arcface_torch\": the first step at the full rate"},
      {"total_steps", int64_t{0}, false,
       "step at which the rate arrives at 0; 0: constant after the warm-up"},
      {"power", 1.0, false, "of the polynomial decay; 1: linear"}};
  def.outputs = {"rate"};
  def.infer = Infer;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(0, 1, Sbp::B())};
  };
  def.examples = {{{{"base", 0.1},
                    {"warmup_steps", int64_t{3}},
                    {"warmup_style", std::string("ramp")},
                    {"total_steps", int64_t{10}},
                    {"power", 1.0}},
                   {},
                   {}}};
  return def;
}

}  // namespace facet::ops
