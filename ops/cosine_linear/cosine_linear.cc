// The class layer of a face head, fused: cosines of x with every row of w,
// without a normalised copy of w, and its gradients, without a gradient of w.
// With two million classes these would be gigabytes.
//
//   cosine_linear(x, w) = matmul(x, l2_normalize(w), transpose_b)
//
// All in float32, but w (and its momentum) may be stored as bfloat16.
#include "absl/strings/str_cat.h"
#include "ops/cosine_linear/cosine_operands.h"
#include "ops/cosine_linear/fuse.h"
#include "ops/expect_type.h"
#include "ops/gradient.h"
#include "ops/l2_normalize/eps_attribute.h"
#include "ops/may_round_attribute.h"
#include "ops/op_def.h"
#include "ops/sgd_update/optimizer_operands.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;
constexpr DataType kBFloat16 = DataType::kBFloat16;

absl::Status CheckOutputGradient(const TensorType& dy, const TensorType& w) {
  RETURN_IF_ERROR(ExpectType("dy", dy, kFloat32, 2, "[N, C]"));
  if (dy.shape[1] == w.shape[0]) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("dy is ", dy.ToString(), " but w is ", w.ToString(),
                   "; dy must have as many columns as w has rows, C"));
}

absl::Status InferForward(const OpCall& call,
                          std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  const TensorType& w = call.inputs[1];
  RETURN_IF_ERROR(CheckCosineOperands(x, w));
  RETURN_IF_ERROR(CheckEps(call.attributes));
  outputs->push_back({kFloat32, {x.shape[0], w.shape[0]}});
  return absl::OkStatus();
}

absl::Status InferGradInput(const OpCall& call,
                            std::vector<TensorType>* outputs) {
  const TensorType& dy = call.inputs[0];
  const TensorType& w = call.inputs[1];
  RETURN_IF_ERROR(CheckClassWeight(w));
  RETURN_IF_ERROR(CheckOutputGradient(dy, w));
  RETURN_IF_ERROR(CheckEps(call.attributes));
  outputs->push_back({kFloat32, {dy.shape[0], w.shape[1]}});
  return absl::OkStatus();
}

absl::Status InferSgd(const OpCall& call, std::vector<TensorType>*) {
  const TensorType& w = call.inputs[0];
  const TensorType& x = call.inputs[2];
  const TensorType& dy = call.inputs[3];
  RETURN_IF_ERROR(CheckCosineOperands(x, w));
  RETURN_IF_ERROR(CheckState(w, call.inputs[1]));
  RETURN_IF_ERROR(CheckOutputGradient(dy, w));
  if (x.shape[0] != dy.shape[0]) {
    return absl::InvalidArgumentError(
        absl::StrCat("x is ", x.ToString(), " but dy is ", dy.ToString(),
                     "; both must have the same number of rows, N"));
  }
  RETURN_IF_ERROR(CheckEps(call.attributes));
  RETURN_IF_ERROR(CheckAccumulate(call));
  return CheckSgdOperands(call, /*first_scalar=*/4);
}

// By x as here; by w as of the unfused ops (training fuses that, too: fuse.cc).
absl::Status Gradient(GradientContext* context) {
  const TensorId x = context->input(0);
  const TensorId w = context->input(1);
  const TensorId dy = context->output_gradient(0);
  if (context->wants_input_gradient(0)) {
    ASSIGN_OR_RETURN(std::vector<TensorId> dx,
                     context->Add("cosine_linear_grad_input", {dy, w},
                                  context->attributes()));
    context->set_input_gradient(0, dx[0]);
  }
  if (context->wants_input_gradient(1)) {
    const bool may_round = context->attributes().Bool(kMayRound);
    const double eps = context->attributes().Float("eps");
    ASSIGN_OR_RETURN(
        std::vector<TensorId> dwn,
        context->Add("matmul", {dy, x},
                     {{"transpose_a", true}, {kMayRound, may_round}}));
    ASSIGN_OR_RETURN(
        std::vector<TensorId> dw,
        context->Add("l2_normalize_grad", {dwn[0], w}, {{"eps", eps}}));
    context->set_input_gradient(1, dw[0]);
  }
  return absl::OkStatus();
}

// One product of [N, C] and D, and `flops_per_weight` for each element of w.
Cost ProductCost(const OpCall& local, int64_t rows, const TensorType& w,
                 double flops_per_weight) {
  Cost cost;
  cost.flops = (2.0 * static_cast<double>(rows) + flops_per_weight) *
               static_cast<double>(w.shape.num_elements());
  for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
  for (const TensorType& type : local.outputs) cost.bytes += type.size_bytes();
  return cost;
}

}  // namespace

OpDef CosineLinearDef() {
  OpDef def;
  def.name = "cosine_linear";
  def.summary = "cosines of x with every row of w, times the norm of x";
  def.attributes = {EpsAttribute(), MayRoundAttribute()};
  def.inputs = {"x", "w"};
  def.outputs = {"y"};
  def.infer = InferForward;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(2, 1, Sbp::B()),
            {{Sbp::B(), Sbp::S(0)}, {Sbp::S(1)}},
            {{Sbp::S(0), Sbp::B()}, {Sbp::S(0)}}};
  };
  def.gradient = Gradient;
  def.cost = [](const OpCall& local) {
    return ProductCost(local, local.inputs[0].shape[0], local.inputs[1], 2);
  };
  def.fuse = FuseCosineLinear;
  def.examples = {
      {{{"eps", 1e-12}}, {{kFloat32, {7, 9}}, {kFloat32, {13, 9}}}, {}},
      {{{"eps", 1e-12}}, {{kFloat32, {6, 8}}, {kFloat32, {10, 8}}}, {}},
      {{{"eps", 1e-12}}, {{kFloat32, {7, 9}}, {kBFloat16, {13, 9}}}, {}}};
  return def;
}

OpDef CosineLinearGradInputDef() {
  OpDef def;
  def.name = "cosine_linear_grad_input";
  def.summary = "gradient of cosine_linear by x";
  def.attributes = {EpsAttribute(), MayRoundAttribute()};
  def.inputs = {"dy", "w"};
  def.outputs = {"dx"};
  def.infer = InferGradInput;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(2, 1, Sbp::B()),
            {{Sbp::S(1), Sbp::S(0)}, {Sbp::PSum()}},
            {{Sbp::S(0), Sbp::B()}, {Sbp::S(0)}}};
  };
  def.cost = [](const OpCall& local) {
    return ProductCost(local, local.inputs[0].shape[0], local.inputs[1], 2);
  };
  def.examples = {
      {{{"eps", 1e-12}}, {{kFloat32, {7, 13}}, {kFloat32, {13, 9}}}, {}},
      {{{"eps", 1e-12}}, {{kFloat32, {6, 10}}, {kFloat32, {10, 8}}}, {}},
      {{{"eps", 1e-12}}, {{kFloat32, {7, 13}}, {kBFloat16, {13, 9}}}, {}}};
  return def;
}

OpDef CosineLinearSgdDef() {
  OpDef def;
  def.name = "cosine_linear_sgd";
  def.summary = "gradient of cosine_linear by w and the optimizer's step";
  def.attributes = UpdateAttributes();
  def.attributes.push_back(AccumulateAttribute());
  def.attributes.push_back(EpsAttribute());
  def.attributes.push_back(MayRoundAttribute());
  def.inputs = {"w",   "momentum", "x", "dy", "learning_rate", "gradient_scale",
                "skip"};
  def.num_optional_inputs = 2;
  def.infer = InferSgd;
  def.signatures = [](const OpCall& call, int) -> std::vector<Signature> {
    const int num_inputs = static_cast<int>(call.inputs.size());
    Signature by_class = Uniform(num_inputs, 0, Sbp::B());
    by_class.inputs[0] = by_class.inputs[1] = Sbp::S(0);
    by_class.inputs[3] = Sbp::S(1);
    return {Uniform(num_inputs, 0, Sbp::B()), by_class};
  };
  def.cost = [](const OpCall& local) {
    const TensorType& w = local.inputs[0];
    Cost cost = ProductCost(local, local.inputs[2].shape[0], w, 15);
    // They are written, too.
    cost.bytes += StateBytes(w, local.inputs[1]) / 2;
    return cost;
  };
  def.mutates = {0, 1};
  def.has_side_effect = true;
  auto example = [](int64_t n, int64_t c, int64_t d, int scalars,
                    DataType weight = kFloat32, DataType momentum = kFloat32) {
    OpExample example;
    example.attributes = {
        {"eps", 1e-12}, {"momentum", 0.9}, {"weight_decay", 5e-4}};
    example.inputs = {{weight, {c, d}},
                      {momentum, {c, d}},
                      {kFloat32, {n, d}},
                      {kFloat32, {n, c}}};
    example.inputs.insert(example.inputs.end(), scalars, {kFloat32, {}});
    example.domains.assign(example.inputs.size(), InputDomain{});
    // skip: 0, or nothing would happen.
    if (scalars == 3) example.domains.back() = {0, 0};
    return example;
  };
  def.examples = {example(7, 13, 9, 1), example(6, 10, 8, 3),
                  example(7, 13, 9, 1, kBFloat16, kBFloat16),
                  example(6, 11, 8, 1, kBFloat16, kFloat32),
                  example(7, 13, 9, 1)};
  def.examples.back().attributes.Set("accumulate", int64_t{3});
  return def;
}

}  // namespace facet::ops
