// dropout: zeroes random elements and scales the others so that the mean
// stays (Srivastava et al., JMLR 2014).
#include "absl/strings/str_cat.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  const double rate = call.attributes.Float("rate");
  const int64_t key = call.attributes.Int("key");
  if (!IsFloating(x.dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("input x is ", x.ToString(),
                     "; expected float32, float16 or bfloat16"));
  }
  if (!(rate >= 0 && rate < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute \"rate\" is ", rate, "; it must be in [0, 1)"));
  }
  if (key < 0 || key > 0xFFFFFFFFll) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"key\" is ", key, "; it must be in [0, 2^32)"));
  }
  outputs->push_back(x);
  return absl::OkStatus();
}

absl::Status Gradient(GradientContext* context) {
  // The mask is a function of the key, the step and the element: the same
  // again, nothing has to be kept.
  ASSIGN_OR_RETURN(std::vector<TensorId> dx,
                   context->Add("dropout", {context->output_gradient(0)},
                                context->attributes()));
  context->set_input_gradient(0, dx[0]);
  return absl::OkStatus();
}

}  // namespace

OpDef DropoutDef() {
  OpDef def;
  def.name = "dropout";
  def.summary = "x / (1 - rate), or 0 with probability `rate`, by element";
  def.attributes = {
      {"rate", 0.0, true, "probability of 0, in [0, 1)"},
      {"key", int64_t{0}, false,
       "tells the mask of this dropout from those of others"},
  };
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = Infer;
  // Not P: that would drop the parts of a sum, which is correct, but the sums
  // are needed on one device anyway by whoever is not linear.
  def.signatures = [](const OpCall& call, int) {
    return UniformSignatures(1, 1, call.inputs[0].shape.rank());
  };
  def.gradient = Gradient;
  // A random word takes some 50 operations on integers.
  def.cost = [](const OpCall& local) {
    return Cost{50.0 * local.inputs[0].shape.num_elements(),
                2.0 * local.inputs[0].size_bytes()};
  };
  def.in_place = {{0, 0}};
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.examples = {{{{"rate", 0.4}, {"key", int64_t{5}}},
                   {{DataType::kFloat32, {9, 10}}},
                   {}},
                  {{{"rate", 0.0}, {"key", int64_t{0}}},
                   {{DataType::kFloat32, {9, 10}}},
                   {}}};
  return def;
}

}  // namespace facet::ops
