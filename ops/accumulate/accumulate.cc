// accumulate_gradient and mean_gradient: one update of the weights by the mean
// gradient of several steps. The sum of all but the last step's is a variable;
// on devices that have parts of the batch it stays partial, so that they
// exchange gradients once per update.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/expect_type.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status CheckOperands(const OpCall& call) {
  const TensorType& sum = call.inputs[0];
  RETURN_IF_ERROR(
      ExpectSameType("sum", sum, {DataType::kFloat32, sum.shape}, "a sum"));
  RETURN_IF_ERROR(ExpectSameType("gradient", call.inputs[1], sum,
                                 "one number for each of sum"));
  const int64_t steps = call.attributes.Int("steps");
  if (steps < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute \"steps\" is ", steps, "; at least 2"));
  }
  return absl::OkStatus();
}

OpDef Definition(absl::string_view name, int num_outputs) {
  OpDef def;
  def.name = std::string(name);
  def.attributes = {{"steps", int64_t{2}, false, "whose gradients are added"}};
  def.inputs = {"sum", "gradient"};
  def.signatures = [num_outputs](const OpCall& call, int) {
    std::vector<Signature> signatures =
        UniformSignatures(2, num_outputs, call.inputs[0].shape.rank());
    signatures.push_back(Uniform(2, num_outputs, Sbp::PSum()));
    return signatures;
  };
  def.cost = [](const OpCall& local) {
    const TensorType& sum = local.inputs[0];
    return Cost{static_cast<double>(sum.shape.num_elements()),
                3.0 * static_cast<double>(sum.size_bytes())};
  };
  def.may_group = true;
  auto example = [](int64_t steps, Shape shape) {
    const TensorType type = {DataType::kFloat32, std::move(shape)};
    return OpExample{{{"steps", steps}}, {type, type}, {}};
  };
  def.examples = {example(3, {7, 6}), example(2, {13}),
                  example(4, {5, 6, 3, 3})};
  return def;
}

}  // namespace

OpDef AccumulateGradientDef() {
  OpDef def = Definition("accumulate_gradient", 0);
  def.summary =
      "sum = gradient in the first of several steps, += gradient in those that "
      "follow, as it is in the last";
  def.infer = [](const OpCall& call, std::vector<TensorType>*) {
    return CheckOperands(call);
  };
  def.mutates = {0};
  def.has_side_effect = true;
  return def;
}

OpDef MeanGradientDef() {
  OpDef def = Definition("mean_gradient", 1);
  def.summary =
      "(sum + gradient) / steps: the last step's gradient, and the sum of the "
      "others'";
  def.outputs = {"mean"};
  def.infer = [](const OpCall& call,
                 std::vector<TensorType>* outputs) -> absl::Status {
    RETURN_IF_ERROR(CheckOperands(call));
    outputs->push_back(call.inputs[0]);
    return absl::OkStatus();
  };
  def.in_place = {{1, 0}};
  return def;
}

}  // namespace facet::ops
