// Softmax cross-entropy of rows that may be split over devices: the row
// statistics are ops of their own, so that only [N] values cross devices.
//
//   max = row_max(logits), sum = row_sum_exp(logits, max)
//   loss = softmax_cross_entropy(logits, max, sum, labels)
#include "absl/strings/str_cat.h"
#include "ops/expect_type.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;

absl::Status ExpectLogits(absl::string_view name, const TensorType& type) {
  return ExpectType(name, type, kFloat32, 2, "[N, C]");
}

absl::Status ExpectPerRow(absl::string_view name, const TensorType& type,
                          DataType dtype, const TensorType& logits) {
  return ExpectSameType(name, type, {dtype, {logits.shape[0]}},
                        "one value per row");
}

absl::Status InferRowMax(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  RETURN_IF_ERROR(ExpectLogits("x", x));
  outputs->push_back({kFloat32, {x.shape[0]}});
  return absl::OkStatus();
}

absl::Status InferRowSumExp(const OpCall& call,
                            std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(InferRowMax(call, outputs));
  return ExpectPerRow("row_max", call.inputs[1], kFloat32, call.inputs[0]);
}

absl::Status CheckLossOperands(const OpCall& call) {
  const TensorType& logits = call.inputs[0];
  RETURN_IF_ERROR(ExpectLogits("logits", logits));
  RETURN_IF_ERROR(ExpectPerRow("row_max", call.inputs[1], kFloat32, logits));
  RETURN_IF_ERROR(
      ExpectPerRow("row_sum_exp", call.inputs[2], kFloat32, logits));
  return ExpectPerRow("labels", call.inputs[3], DataType::kInt32, logits);
}

absl::Status InferLoss(const OpCall& call, std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckLossOperands(call));
  outputs->push_back({kFloat32, {}});
  return absl::OkStatus();
}

absl::Status InferLossGradient(const OpCall& call,
                               std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckLossOperands(call));
  RETURN_IF_ERROR(ExpectScalar("dloss", call.inputs[4]));
  outputs->push_back(call.inputs[0]);
  return absl::OkStatus();
}

// The statistics get no gradient: d loss / d logits contains their paths.
absl::Status LossGradient(GradientContext* context) {
  if (!context->wants_input_gradient(0)) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      std::vector<TensorId> dlogits,
      context->Add("softmax_cross_entropy_grad",
                   {context->input(0), context->input(1), context->input(2),
                    context->input(3), context->output_gradient(0)}));
  context->set_input_gradient(0, dlogits[0]);
  return absl::OkStatus();
}

// An exponential is some 20 operations.
Cost PassCost(const OpCall& local, double flops_per_element) {
  Cost cost;
  cost.flops = flops_per_element *
               static_cast<double>(local.inputs[0].shape.num_elements());
  for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
  for (const TensorType& type : local.outputs) cost.bytes += type.size_bytes();
  return cost;
}

OpExample Example(Shape shape, int num_inputs) {
  const int64_t rows = shape[0];
  const double classes = static_cast<double>(shape[1]);
  const std::vector<TensorType> types = {{kFloat32, std::move(shape)},
                                         {kFloat32, {rows}},
                                         {kFloat32, {rows}},
                                         {DataType::kInt32, {rows}},
                                         {kFloat32, {}}};
  const std::vector<InputDomain> domains = {
      {-4, 4}, {3, 4}, {1, 5}, {0, classes}, {1, 2}};
  OpExample example;
  example.inputs.assign(types.begin(), types.begin() + num_inputs);
  example.domains.assign(domains.begin(), domains.begin() + num_inputs);
  return example;
}

}  // namespace

OpDef RowMaxDef() {
  OpDef def;
  def.name = "row_max";
  def.summary = "the largest value of each row";
  def.inputs = {"x"};
  def.outputs = {"max"};
  def.infer = InferRowMax;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(1, 1, Sbp::B()),
            {{Sbp::S(1)}, {Sbp::PMax()}},
            {{Sbp::S(0)}, {Sbp::S(0)}}};
  };
  def.cost = [](const OpCall& local) { return PassCost(local, 1); };
  def.examples = {Example({7, 13}, 1), Example({6, 8}, 1)};
  return def;
}

OpDef RowSumExpDef() {
  OpDef def;
  def.name = "row_sum_exp";
  def.summary = "the sum of exp(x - max) of each row";
  def.inputs = {"x", "row_max"};
  def.outputs = {"sum"};
  def.infer = InferRowSumExp;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(2, 1, Sbp::B()),
            {{Sbp::S(1), Sbp::B()}, {Sbp::PSum()}},
            {{Sbp::S(0), Sbp::S(0)}, {Sbp::S(0)}}};
  };
  def.cost = [](const OpCall& local) { return PassCost(local, 22); };
  def.examples = {Example({7, 13}, 2), Example({6, 8}, 2)};
  return def;
}

OpDef SoftmaxCrossEntropyDef() {
  OpDef def;
  def.name = "softmax_cross_entropy";
  def.summary = "mean of -log(softmax) at the labels";
  def.inputs = {"logits", "row_max", "row_sum_exp", "labels"};
  def.outputs = {"loss"};
  def.infer = InferLoss;
  // A device adds the rows whose label it holds.
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(4, 1, Sbp::B()),
            {{Sbp::S(1), Sbp::B(), Sbp::B(), Sbp::B()}, {Sbp::PSum()}},
            {{Sbp::S(0), Sbp::S(0), Sbp::S(0), Sbp::S(0)}, {Sbp::PSum()}}};
  };
  def.gradient = LossGradient;
  // One logit per row is read, not all.
  def.cost = [](const OpCall& local) {
    const double rows = static_cast<double>(local.inputs[0].shape[0]);
    return Cost{25 * rows, 16 * rows};
  };
  def.examples = {Example({7, 13}, 4), Example({6, 8}, 4)};
  return def;
}

OpDef SoftmaxCrossEntropyGradDef() {
  OpDef def;
  def.name = "softmax_cross_entropy_grad";
  def.summary = "gradient of softmax_cross_entropy by the logits";
  def.inputs = {"logits", "row_max", "row_sum_exp", "labels", "dloss"};
  def.outputs = {"dlogits"};
  def.infer = InferLossGradient;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {
        Uniform(5, 1, Sbp::B()),
        {{Sbp::S(1), Sbp::B(), Sbp::B(), Sbp::B(), Sbp::B()}, {Sbp::S(1)}},
        {{Sbp::S(0), Sbp::S(0), Sbp::S(0), Sbp::S(0), Sbp::B()}, {Sbp::S(0)}}};
  };
  def.cost = [](const OpCall& local) { return PassCost(local, 23); };
  def.in_place = {{0, 0}};
  def.examples = {Example({7, 13}, 5), Example({6, 8}, 5)};
  return def;
}

}  // namespace facet::ops
