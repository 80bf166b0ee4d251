// The face head from features to loss and update without a matrix of cosines
// [N, C]: they are made again wherever they are needed, a group of classes at a
// time. With 4 million classes a device and 1,024 images that is 15 GiB less,
// for five products of [N, D] and [C, D] instead of three.
//
//   sum, target_loss = cosine_softmax_sum(x, w, labels)
//   loss = cosine_softmax_loss(sum, target_loss)
//   dx = cosine_softmax_grad_input(x, w, labels, sum, dloss)
//   cosine_softmax_sgd(w!, momentum!, x, labels, sum, dloss, scalars...)
//
// As margin_softmax of cosine_linear, but for the rows' largest logits, which
// nothing waits for: x is normalised, no logit exceeds the scale, and what
// exponents are relative to is a constant (SoftmaxShift).
#include "absl/strings/str_cat.h"
#include "ops/combined_margin/margin_operands.h"
#include "ops/cosine_linear/cosine_operands.h"
#include "ops/cosine_softmax/fuse.h"
#include "ops/cosine_softmax/softmax_shift.h"
#include "ops/expect_type.h"
#include "ops/l2_normalize/eps_attribute.h"
#include "ops/may_round_attribute.h"
#include "ops/op_def.h"
#include "ops/sgd_update/optimizer_operands.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;
constexpr DataType kBFloat16 = DataType::kBFloat16;

// Where x, w and labels are among the inputs.
struct Operands {
  int x, w, labels;
};
constexpr Operands kOfProduct = {0, 1, 2};
constexpr Operands kOfUpdate = {2, 0, 3};

absl::Status CheckOperands(const OpCall& call, const Operands& at) {
  const TensorType& x = call.inputs[at.x];
  const TensorType& w = call.inputs[at.w];
  RETURN_IF_ERROR(CheckCosineOperands(x, w));
  const TensorType cosines_and_labels[] = {{kFloat32, {x.shape[0], w.shape[0]}},
                                           call.inputs[at.labels]};
  RETURN_IF_ERROR(
      CheckMarginOperands({call.attributes, cosines_and_labels, {}}, 0, 1));
  const double scale = call.attributes.Float("scale");
  if (scale > kLargestShiftedScale) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"scale\" is ", scale, "; at most ", kLargestShiftedScale,
        ": beyond that exponentials need the rows' maxima"));
  }
  return CheckEps(call.attributes);
}

// sum and dloss, from input `first` on.
absl::Status CheckGradientOperands(const OpCall& call, const Operands& at,
                                   int first) {
  RETURN_IF_ERROR(CheckOperands(call, at));
  const int64_t rows = call.inputs[at.x].shape[0];
  RETURN_IF_ERROR(ExpectSameType("sum", call.inputs[first], {kFloat32, {rows}},
                                 "one value per row of x"));
  return ExpectScalar("dloss", call.inputs[first + 1]);
}

absl::Status InferSum(const OpCall& call, std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckOperands(call, kOfProduct));
  outputs->push_back({kFloat32, {call.inputs[0].shape[0]}});
  outputs->push_back({kFloat32, {}});
  return absl::OkStatus();
}

absl::Status InferLoss(const OpCall& call, std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(ExpectType("sum", call.inputs[0], kFloat32, 1, "[N]"));
  RETURN_IF_ERROR(ExpectScalar("target_loss", call.inputs[1]));
  outputs->push_back({kFloat32, {}});
  return absl::OkStatus();
}

absl::Status InferGradInput(const OpCall& call,
                            std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckGradientOperands(call, kOfProduct, 3));
  outputs->push_back(call.inputs[0]);
  return absl::OkStatus();
}

absl::Status InferSgd(const OpCall& call, std::vector<TensorType>*) {
  RETURN_IF_ERROR(CheckState(call.inputs[0], call.inputs[1]));
  RETURN_IF_ERROR(CheckGradientOperands(call, kOfUpdate, 4));
  RETURN_IF_ERROR(CheckAccumulate(call));
  return CheckSgdOperands(call, /*first_scalar=*/6);
}

// `products` of [N, D] and [C, D], `flops_per_weight` for each element of w
// (which is read as often), some 30 operations for each logit, whose cosine is
// moved `moves` times; and the other operands.
Cost HeadCost(const OpCall& local, const Operands& at, double products,
              double flops_per_weight, double moves) {
  const TensorType& w = local.inputs[at.w];
  const double rows = static_cast<double>(local.inputs[at.x].shape[0]);
  const double cosines = rows * static_cast<double>(w.shape[0]);
  Cost cost;
  cost.flops = (2 * products * rows + flops_per_weight) *
                   static_cast<double>(w.shape.num_elements()) +
               30 * cosines;
  cost.bytes = (products - 1) * static_cast<double>(w.size_bytes()) +
               4 * moves * cosines;
  for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
  for (const TensorType& type : local.outputs) cost.bytes += type.size_bytes();
  return cost;
}

OpExample Example(int64_t n, int64_t c, int64_t d, bool exact,
                  DataType weight) {
  OpExample example;
  example.attributes = {
      {"eps", 1e-12},
      {"m2", 0.3},
      {"scale", 8.0},
      {"gradient", std::string(exact ? "exact" : "as_arcface_torch")}};
  example.inputs = {
      {kFloat32, {n, d}}, {weight, {c, d}}, {DataType::kInt32, {n}}};
  // Rows of x no longer than 1.
  const double most = 1.0 / static_cast<double>(d);
  example.domains = {{-most, most}, {-1, 1}, {0, static_cast<double>(c)}};
  return example;
}

std::vector<OpExample> Examples() {
  return {Example(7, 13, 9, false, kFloat32), Example(6, 10, 8, true, kFloat32),
          Example(7, 13, 9, true, kBFloat16)};
}

void AddOperand(TensorType type, InputDomain domain, OpExample* example) {
  example->inputs.push_back(std::move(type));
  example->domains.push_back(domain);
}

OpDef Def(const char* name, const char* summary) {
  OpDef def;
  def.name = name;
  def.summary = summary;
  def.attributes = MarginAttributes();
  def.attributes.push_back(EpsAttribute());
  def.attributes.push_back(MayRoundAttribute());
  return def;
}

}  // namespace

OpDef CosineSoftmaxSumDef() {
  OpDef def = Def("cosine_softmax_sum",
                  "the sum of each row's exp(logit - scale / 8), and the mean "
                  "of -log(exp(logit - scale / 8)) at the labels");
  def.inputs = {"x", "w", "labels"};
  def.outputs = {"sum", "target_loss"};
  def.infer = InferSum;
  // A device has the rows whose label it holds.
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(3, 2, Sbp::B()),
            {{Sbp::B(), Sbp::S(0), Sbp::B()}, {Sbp::PSum(), Sbp::PSum()}},
            {{Sbp::S(0), Sbp::B(), Sbp::S(0)}, {Sbp::S(0), Sbp::PSum()}}};
  };
  def.cost = [](const OpCall& local) {
    return HeadCost(local, kOfProduct, 1, 2, 2);
  };
  def.examples = Examples();
  return def;
}

OpDef CosineSoftmaxLossDef() {
  OpDef def;
  def.name = "cosine_softmax_loss";
  def.summary =
      "mean of -log(softmax) at the labels: the mean of log(sum), "
      "and target_loss";
  def.inputs = {"sum", "target_loss"};
  def.outputs = {"loss"};
  def.infer = InferLoss;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(2, 1, Sbp::B()), {{Sbp::S(0), Sbp::PSum()}, {Sbp::PSum()}}};
  };
  def.cost = [](const OpCall& local) {
    const double rows = static_cast<double>(local.inputs[0].shape[0]);
    return Cost{50 * rows, 4 * rows};
  };
  def.fuse = FuseCosineSoftmax;
  def.fuse_saves_memory = true;
  def.examples = {{{}, {{kFloat32, {7}}, {kFloat32, {}}}, {{1, 5}, {-1, 1}}},
                  {{}, {{kFloat32, {12}}, {kFloat32, {}}}, {{1, 5}, {-1, 1}}}};
  return def;
}

OpDef CosineSoftmaxGradInputDef() {
  OpDef def =
      Def("cosine_softmax_grad_input", "gradient of cosine_softmax_loss by x");
  def.inputs = {"x", "w", "labels", "sum", "dloss"};
  def.outputs = {"dx"};
  def.infer = InferGradInput;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    const Sbp b = Sbp::B(), s = Sbp::S(0);
    return {Uniform(5, 1, b),
            {{b, s, b, b, b}, {Sbp::PSum()}},
            {{s, b, s, s, b}, {s}}};
  };
  def.cost = [](const OpCall& local) {
    return HeadCost(local, kOfProduct, 2, 4, 4);
  };
  def.examples = Examples();
  for (OpExample& example : def.examples) {
    AddOperand({kFloat32, {example.inputs[0].shape[0]}}, {5, 9}, &example);
    AddOperand({kFloat32, {}}, {1, 2}, &example);
  }
  return def;
}

OpDef CosineSoftmaxSgdDef() {
  OpDef def =
      Def("cosine_softmax_sgd",
          "gradient of cosine_softmax_loss by w and the optimizer's step");
  const std::vector<AttributeSpec> update = UpdateAttributes();
  def.attributes.insert(def.attributes.end(), update.begin(), update.end());
  def.attributes.push_back(AccumulateAttribute());
  def.inputs = {"w",
                "momentum",
                "x",
                "labels",
                "sum",
                "dloss",
                "learning_rate",
                "gradient_scale",
                "skip"};
  def.num_optional_inputs = 2;
  def.infer = InferSgd;
  def.signatures = [](const OpCall& call, int) -> std::vector<Signature> {
    const int num_inputs = static_cast<int>(call.inputs.size());
    Signature by_class = Uniform(num_inputs, 0, Sbp::B());
    by_class.inputs[0] = by_class.inputs[1] = Sbp::S(0);
    return {Uniform(num_inputs, 0, Sbp::B()), by_class};
  };
  def.cost = [](const OpCall& local) {
    Cost cost = HeadCost(local, kOfUpdate, 2, 17, 4);
    // They are written, too.
    cost.bytes += StateBytes(local.inputs[0], local.inputs[1]) / 2;
    return cost;
  };
  def.mutates = {0, 1};
  def.has_side_effect = true;
  auto example = [](int64_t n, int64_t c, int64_t d, int scalars,
                    DataType weight, DataType momentum) {
    const OpExample product = Example(n, c, d, false, weight);
    OpExample update;
    update.attributes = product.attributes;
    AddOperand(product.inputs[1], product.domains[1], &update);
    AddOperand({momentum, {c, d}}, {}, &update);
    AddOperand(product.inputs[0], product.domains[0], &update);
    AddOperand(product.inputs[2], product.domains[2], &update);
    AddOperand({kFloat32, {n}}, {5, 9}, &update);
    for (int i = 0; i < 1 + scalars; ++i) {
      // skip: 0, or nothing would happen.
      AddOperand({kFloat32, {}}, i == 3 ? InputDomain{0, 0} : InputDomain{},
                 &update);
    }
    return update;
  };
  def.examples = {example(7, 13, 9, 1, kFloat32, kFloat32),
                  example(6, 10, 8, 3, kFloat32, kFloat32),
                  example(7, 13, 9, 1, kBFloat16, kFloat32),
                  example(7, 13, 9, 1, kFloat32, kFloat32)};
  def.examples.back().attributes.Set("accumulate", int64_t{3});
  return def;
}

}  // namespace facet::ops
