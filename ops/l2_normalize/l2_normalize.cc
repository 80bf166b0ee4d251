// l2_normalize: rows of length 1 (torch.nn.functional.normalize), and its
// gradient. In float32, also of rows that are stored as bfloat16: the face
// head's cosines are sensitive.
#include "ops/expect_stored.h"
#include "ops/expect_type.h"
#include "ops/gradient.h"
#include "ops/l2_normalize/eps_attribute.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status InferForward(const OpCall& call,
                          std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(ExpectStored("x", call.inputs[0], 2, "[N, D]"));
  RETURN_IF_ERROR(CheckEps(call.attributes));
  outputs->push_back({DataType::kFloat32, call.inputs[0].shape});
  return absl::OkStatus();
}

absl::Status InferGradient(const OpCall& call,
                           std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[1];
  RETURN_IF_ERROR(ExpectStored("x", x, 2, "[N, D]"));
  const TensorType dx = {DataType::kFloat32, x.shape};
  RETURN_IF_ERROR(
      ExpectSameType("dy", call.inputs[0], dx, "one number for each of x"));
  RETURN_IF_ERROR(CheckEps(call.attributes));
  outputs->push_back(dx);
  return absl::OkStatus();
}

// A row is needed as a whole.
std::vector<Signature> RowSignatures(int num_inputs) {
  return {Uniform(num_inputs, 1, Sbp::B()), Uniform(num_inputs, 1, Sbp::S(0))};
}

// Rows are read a second time from cache.
Cost RowCost(const OpCall& local, double flops_per_element) {
  Cost cost;
  const TensorType& y = local.outputs[0];
  cost.flops = flops_per_element * static_cast<double>(y.shape.num_elements());
  for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
  cost.bytes += y.size_bytes();
  return cost;
}

}  // namespace

OpDef L2NormalizeDef() {
  OpDef def;
  def.name = "l2_normalize";
  def.summary = "rows divided by their Euclidean norm";
  def.attributes = {EpsAttribute()};
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = InferForward;
  def.signatures = [](const OpCall&, int) { return RowSignatures(1); };
  def.gradient = [](GradientContext* context) -> absl::Status {
    if (!context->wants_input_gradient(0)) return absl::OkStatus();
    ASSIGN_OR_RETURN(
        std::vector<TensorId> dx,
        context->Add("l2_normalize_grad",
                     {context->output_gradient(0), context->input(0)},
                     context->attributes()));
    context->set_input_gradient(0, dx[0]);
    return absl::OkStatus();
  };
  def.cost = [](const OpCall& local) { return RowCost(local, 3); };
  def.in_place = {{0, 0}};
  def.examples = {{{{"eps", 1e-12}}, {{DataType::kFloat32, {7, 13}}}, {}},
                  {{{"eps", 1e-12}}, {{DataType::kFloat32, {10, 6}}}, {}},
                  {{{"eps", 1e-12}}, {{DataType::kBFloat16, {7, 11}}}, {}}};
  return def;
}

OpDef L2NormalizeGradDef() {
  OpDef def;
  def.name = "l2_normalize_grad";
  def.summary = "gradient of l2_normalize by x";
  def.attributes = {EpsAttribute()};
  def.inputs = {"dy", "x"};
  def.outputs = {"dx"};
  def.infer = InferGradient;
  def.signatures = [](const OpCall&, int) { return RowSignatures(2); };
  def.cost = [](const OpCall& local) { return RowCost(local, 8); };
  def.in_place = {{0, 0}};
  const TensorType type = {DataType::kFloat32, {9, 11}};
  const TensorType half = {DataType::kBFloat16, {9, 11}};
  def.examples = {{{{"eps", 1e-12}}, {type, type}, {}},
                  {{{"eps", 1e-12}}, {type, half}, {}}};
  return def;
}

}  // namespace facet::ops
