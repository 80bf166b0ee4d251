// variable: a tensor that lives from step to step: weights, optimizer state.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"
#include "ops/type_attributes.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const Attributes& attributes = call.attributes;
  ASSIGN_OR_RETURN(TensorType type, TypeFromAttributes(attributes));
  const std::string& init = attributes.String("init");
  if (init == "constant") {
    const double value = attributes.Float("value");
    if (!IsFloating(type.dtype) && value != std::floor(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("attribute \"value\" is ", value,
                       ", which is not an integer, but \"dtype\" is ",
                       DataTypeName(type.dtype)));
    }
  } else if (init == "normal" || init == "uniform") {
    if (!IsFloating(type.dtype)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "attribute \"init\" is \"", init, "\", but \"dtype\" is ",
          DataTypeName(type.dtype), "; use float32, float16 or bfloat16"));
    }
    for (const char* width : {"stddev", "bound"}) {
      if (attributes.Float(width) >= 0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("attribute \"", width, "\" is ", attributes.Float(width),
                       "; it must be 0 or more"));
    }
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute \"init\" is \"", init,
                     "\"; use \"constant\", \"normal\" or \"uniform\""));
  }
  const std::string& momentum = attributes.String("momentum_dtype");
  if (momentum != "float32" && momentum != "bfloat16") {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute \"momentum_dtype\" is \"", momentum,
                     "\"; use \"float32\" or \"bfloat16\""));
  }
  const int64_t key = attributes.Int("key");
  if (key < 0 || key > 0xFFFFFFFFll) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"key\" is ", key, "; it must be in [0, 2^32)"));
  }
  if (attributes.Bool("may_be_partial") &&
      (init != "constant" || attributes.Float("value") != 0 ||
       type.dtype != DataType::kFloat32)) {
    return absl::InvalidArgumentError(
        "attribute \"may_be_partial\" is true: the variable must be float32, "
        "and 0 at first");
  }
  outputs->push_back(std::move(type));
  return absl::OkStatus();
}

}  // namespace

OpDef VariableDef() {
  OpDef def;
  def.name = "variable";
  def.summary = "a persistent tensor, initialised when the session starts";
  def.attributes = {
      {"dtype", std::string("float32"), false, "element type"},
      {"shape", std::vector<int64_t>{}, true, "logical shape"},
      {"init", std::string("constant"), false,
       "\"constant\", \"normal\" or \"uniform\""},
      {"value", 0.0, false, "initial value, if init is \"constant\""},
      {"mean", 0.0, false, "of the initial values, if init is \"normal\""},
      {"stddev", 1.0, false, "of the initial values, if init is \"normal\""},
      {"bound", 1.0, false,
       "of the initial values, from -bound to bound, if init is \"uniform\""},
      {"key", int64_t{0}, false,
       "tells the random values of this variable from those of others"},
      {"trainable", true, false, "the optimizer updates it"},
      {"clip", true, false, "its gradient takes part in gradient clipping"},
      {"momentum_dtype", std::string("float32"), false,
       "element type of the optimizer's momentum: float32 or bfloat16"},
      {"may_be_partial", false, false,
       "devices may hold parts of it that add up, all 0 at first"},
  };
  def.outputs = {"value"};
  def.infer = Infer;
  def.signatures = [](const OpCall& call, int) {
    std::vector<Signature> signatures =
        UniformSignatures(0, 1, call.outputs[0].shape.rank());
    if (call.attributes.Bool("may_be_partial")) {
      signatures.push_back(Uniform(0, 1, Sbp::PSum()));
    }
    return signatures;
  };
  // Once, before the first step.
  def.cost = [](const OpCall&) { return Cost{}; };
  def.is_variable = true;
  auto example = [](std::vector<int64_t> shape, std::string init) {
    OpExample example;
    example.attributes = {{"dtype", std::string("float32")},
                          {"shape", std::move(shape)},
                          {"init", std::move(init)},
                          {"value", 0.25},
                          {"mean", 0.0},
                          {"stddev", 0.1},
                          {"bound", 0.3},
                          {"key", int64_t{3}},
                          {"trainable", true},
                          {"clip", true}};
    return example;
  };
  def.examples = {example({7, 9}, "constant"), example({9, 10}, "normal"),
                  example({8, 11}, "uniform"), example({6, 5, 3, 3}, "normal"),
                  example({9, 10}, "constant")};
  def.examples.back().attributes.Set("value", 0.0);
  def.examples.back().attributes.Set("may_be_partial", true);
  return def;
}

}  // namespace facet::ops
