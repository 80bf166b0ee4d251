// combined_margin: from cosines to logits, with the target class made harder
// by a margin (ArcFace, CosFace, SphereFace). Formulas: margin.h.
#include "ops/combined_margin/margin_operands.h"
#include "ops/expect_type.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status InferForward(const OpCall& call,
                          std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckMarginOperands(call, 0, 1));
  outputs->push_back(call.inputs[0]);
  return absl::OkStatus();
}

absl::Status InferGradient(const OpCall& call,
                           std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckMarginOperands(call, 1, 2));
  RETURN_IF_ERROR(ExpectSameType("dlogits", call.inputs[0], call.inputs[1],
                                 "the type of cos"));
  outputs->push_back(call.inputs[1]);
  return absl::OkStatus();
}

// Matrices split by `axis` with labels that follow the rows.
Signature Split(int num_matrices, int axis) {
  Signature signature = Uniform(num_matrices + 1, 1, Sbp::S(axis));
  signature.inputs.back() = axis == 0 ? Sbp::S(0) : Sbp::B();
  return signature;
}

std::vector<Signature> Signatures(int num_matrices) {
  return {Uniform(num_matrices + 1, 1, Sbp::B()), Split(num_matrices, 0),
          Split(num_matrices, 1)};
}

Cost ElementCost(const OpCall& local, double flops_per_element) {
  Cost cost;
  const TensorType& y = local.outputs[0];
  cost.flops = flops_per_element * static_cast<double>(y.shape.num_elements());
  for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
  cost.bytes += y.size_bytes();
  return cost;
}

// Cosines beyond 1 show the clamp.
OpExample Example(int num_matrices, Shape shape, double m1, double m2,
                  double m3, const char* gradient) {
  const int64_t rows = shape[0];
  const double classes = static_cast<double>(shape[1]);
  OpExample example;
  example.attributes = {{"m1", m1},
                        {"m2", m2},
                        {"m3", m3},
                        {"scale", 64.0},
                        {"gradient", std::string(gradient)}};
  example.inputs.assign(num_matrices, {DataType::kFloat32, std::move(shape)});
  example.inputs.push_back({DataType::kInt32, {rows}});
  example.domains.assign(num_matrices, {-1.1, 1.1});
  example.domains.push_back({0, classes});
  return example;
}

}  // namespace

OpDef CombinedMarginDef() {
  OpDef def;
  def.name = "combined_margin";
  def.summary = "scaled cosines with a margin at the target";
  def.attributes = MarginAttributes();
  def.inputs = {"cos", "labels"};
  def.outputs = {"logits"};
  def.infer = InferForward;
  def.signatures = [](const OpCall&, int) { return Signatures(1); };
  def.gradient = [](GradientContext* context) -> absl::Status {
    if (!context->wants_input_gradient(0)) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::vector<TensorId> dcos,
                     context->Add("combined_margin_grad",
                                  {context->output_gradient(0),
                                   context->input(0), context->input(1)},
                                  context->attributes()));
    context->set_input_gradient(0, dcos[0]);
    return absl::OkStatus();
  };
  def.cost = [](const OpCall& local) { return ElementCost(local, 3); };
  def.in_place = {{0, 0}};
  def.examples = {Example(1, {7, 13}, 1, 0.5, 0, "as_arcface_torch"),
                  Example(1, {6, 9}, 1.2, 0.3, 0.2, "exact")};
  return def;
}

OpDef CombinedMarginGradDef() {
  OpDef def;
  def.name = "combined_margin_grad";
  def.summary = "gradient of combined_margin by cos";
  def.attributes = MarginAttributes();
  def.inputs = {"dlogits", "cos", "labels"};
  def.outputs = {"dcos"};
  def.infer = InferGradient;
  def.signatures = [](const OpCall&, int) { return Signatures(2); };
  def.cost = [](const OpCall& local) { return ElementCost(local, 3); };
  def.in_place = {{0, 0}};
  def.examples = {Example(2, {7, 13}, 1, 0.5, 0, "as_arcface_torch"),
                  Example(2, {6, 9}, 1.2, 0.3, 0.2, "exact")};
  return def;
}

}  // namespace facet::ops
