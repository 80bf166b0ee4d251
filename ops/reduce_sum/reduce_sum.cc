// reduce_sum: the sum along one dimension.
#include "absl/strings/str_cat.h"
#include "ops/op_def.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  const int64_t axis = call.attributes.Int("axis");
  if (!IsFloating(x.dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("input x is ", x.ToString(),
                     "; expected float32, float16 or bfloat16"));
  }
  if (axis < 0 || axis >= x.shape.rank()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"axis\" is ", axis, "; input x is ", x.ToString(),
        ", so it must be in [0, ", x.shape.rank(), ")"));
  }
  TensorType y = {x.dtype, {}};
  for (int i = 0; i < x.shape.rank(); ++i) {
    if (i != axis) y.shape.push_back(x.shape[i]);
  }
  outputs->push_back(std::move(y));
  return absl::OkStatus();
}

std::vector<Signature> Signatures(const OpCall& call, int) {
  const int axis = static_cast<int>(call.attributes.Int("axis"));
  std::vector<Signature> signatures = {Uniform(1, 1, Sbp::B()),
                                       {{Sbp::S(axis)}, {Sbp::PSum()}},
                                       Uniform(1, 1, Sbp::PSum())};
  for (int i = 0; i < call.inputs[0].shape.rank(); ++i) {
    if (i == axis) continue;
    signatures.push_back({{Sbp::S(i)}, {Sbp::S(i < axis ? i : i - 1)}});
  }
  return signatures;
}

}  // namespace

OpDef ReduceSumDef() {
  OpDef def;
  def.name = "reduce_sum";
  def.may_group = true;
  def.summary = "the sum of x along one dimension, which is removed";
  def.attributes = {{"axis", int64_t{0}, false, "the dimension"}};
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = Infer;
  def.signatures = Signatures;
  def.cost = [](const OpCall& local) {
    return Cost{
        1.0 * local.inputs[0].shape.num_elements(),
        1.0 * local.inputs[0].size_bytes() + local.outputs[0].size_bytes()};
  };
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  auto example = [](int64_t axis, Shape shape) {
    return OpExample{
        {{"axis", axis}}, {{DataType::kFloat32, std::move(shape)}}, {}};
  };
  def.examples = {example(0, {9, 6}), example(1, {9, 6}), example(1, {5, 7, 6}),
                  example(0, {11})};
  return def;
}

}  // namespace facet::ops
