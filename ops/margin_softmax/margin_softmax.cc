// Softmax cross-entropy of the logits that combined_margin makes of cosines
// [N, C], without these logits: every pass makes them again of the cosines,
// which costs some operations per element and no memory.
//
//   max = margin_softmax_max(cos, labels)
//   sum = margin_softmax_sum(cos, labels, max)
//   loss = margin_softmax_loss(cos, labels, max, sum)
//   dcos = margin_softmax_grad(cos, labels, max, sum, dloss), in place
//
// The graph has the ops that these stand for; see fuse.cc.
#include "ops/combined_margin/margin_operands.h"
#include "ops/expect_type.h"
#include "ops/margin_softmax/fuse.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;

// cos and labels, and this many statistics of the rows after them.
absl::Status CheckOperands(const OpCall& call, int num_statistics) {
  RETURN_IF_ERROR(CheckMarginOperands(call, 0, 1));
  const TensorType per_row = {kFloat32, {call.inputs[0].shape[0]}};
  constexpr const char* kNames[] = {"row_max", "row_sum_exp"};
  for (int i = 0; i < num_statistics; ++i) {
    RETURN_IF_ERROR(ExpectSameType(kNames[i], call.inputs[2 + i], per_row,
                                   "one value per row of cos"));
  }
  return absl::OkStatus();
}

template <int kStatistics>
absl::Status InferStatistic(const OpCall& call,
                            std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckOperands(call, kStatistics));
  outputs->push_back({kFloat32, {call.inputs[0].shape[0]}});
  return absl::OkStatus();
}

absl::Status InferLoss(const OpCall& call, std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckOperands(call, 2));
  outputs->push_back({kFloat32, {}});
  return absl::OkStatus();
}

absl::Status InferGradient(const OpCall& call,
                           std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckOperands(call, 2));
  RETURN_IF_ERROR(ExpectScalar("dloss", call.inputs[4]));
  outputs->push_back(call.inputs[0]);
  return absl::OkStatus();
}

// One matrix, what belongs to its rows, and scalars.
Signature Of(Sbp matrix, Sbp rows, Sbp output, int num_per_row,
             int num_scalars) {
  Signature signature;
  signature.inputs.push_back(matrix);
  signature.inputs.insert(signature.inputs.end(), num_per_row, rows);
  signature.inputs.insert(signature.inputs.end(), num_scalars, Sbp::B());
  signature.outputs = {output};
  return signature;
}

// `by_class`, `by_row`: the output's SBP where the matrix is split so.
std::vector<Signature> Signatures(int num_per_row, int num_scalars,
                                  Sbp by_class, Sbp by_row) {
  return {Of(Sbp::B(), Sbp::B(), Sbp::B(), num_per_row, num_scalars),
          Of(Sbp::S(1), Sbp::B(), by_class, num_per_row, num_scalars),
          Of(Sbp::S(0), Sbp::S(0), by_row, num_per_row, num_scalars)};
}

// A pass over the matrix; a logit is 4 operations, an exponential some 20.
Cost PassCost(const OpCall& local, double flops_per_element) {
  Cost cost;
  cost.flops = flops_per_element *
               static_cast<double>(local.inputs[0].shape.num_elements());
  for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
  for (const TensorType& type : local.outputs) cost.bytes += type.size_bytes();
  return cost;
}

OpExample Example(Shape shape, double m1, double m2, double m3,
                  const char* gradient, int num_inputs) {
  const int64_t rows = shape[0];
  const double classes = static_cast<double>(shape[1]);
  const std::vector<TensorType> types = {{kFloat32, std::move(shape)},
                                         {DataType::kInt32, {rows}},
                                         {kFloat32, {rows}},
                                         {kFloat32, {rows}},
                                         {kFloat32, {}}};
  // Cosines beyond 1 show the clamp.
  const std::vector<InputDomain> domains = {
      {-1.1, 1.1}, {0, classes}, {3, 4}, {1, 5}, {1, 2}};
  OpExample example;
  example.attributes = {{"m1", m1},
                        {"m2", m2},
                        {"m3", m3},
                        {"scale", 4.0},
                        {"gradient", std::string(gradient)}};
  example.inputs.assign(types.begin(), types.begin() + num_inputs);
  example.domains.assign(domains.begin(), domains.begin() + num_inputs);
  return example;
}

OpDef Def(const char* name, const char* summary,
          std::vector<std::string> inputs, const char* output) {
  OpDef def;
  def.name = name;
  def.summary = summary;
  def.attributes = MarginAttributes();
  const int num_inputs = static_cast<int>(inputs.size());
  def.inputs = std::move(inputs);
  def.outputs = {output};
  def.examples = {Example({7, 13}, 1, 0.5, 0, "as_arcface_torch", num_inputs),
                  Example({6, 9}, 1.2, 0.3, 0.2, "exact", num_inputs)};
  return def;
}

}  // namespace

OpDef MarginSoftmaxMaxDef() {
  OpDef def =
      Def("margin_softmax_max", "the largest of each row's logits, of cosines",
          {"cos", "labels"}, "max");
  def.infer = InferStatistic<0>;
  def.signatures = [](const OpCall&, int) {
    return Signatures(1, 0, Sbp::PMax(), Sbp::S(0));
  };
  def.cost = [](const OpCall& local) { return PassCost(local, 5); };
  return def;
}

OpDef MarginSoftmaxSumDef() {
  OpDef def = Def("margin_softmax_sum",
                  "the sum of exp(logit - max) of each row, of cosines",
                  {"cos", "labels", "row_max"}, "sum");
  def.infer = InferStatistic<1>;
  def.signatures = [](const OpCall&, int) {
    return Signatures(2, 0, Sbp::PSum(), Sbp::S(0));
  };
  def.cost = [](const OpCall& local) { return PassCost(local, 26); };
  return def;
}

OpDef MarginSoftmaxLossDef() {
  OpDef def = Def("margin_softmax_loss",
                  "mean of -log(softmax) at the labels, of cosines",
                  {"cos", "labels", "row_max", "row_sum_exp"}, "loss");
  def.infer = InferLoss;
  // A device adds the rows whose label it holds.
  def.signatures = [](const OpCall&, int) {
    return Signatures(3, 0, Sbp::PSum(), Sbp::PSum());
  };
  // One cosine per row is read, not all.
  def.cost = [](const OpCall& local) {
    const double rows = static_cast<double>(local.inputs[0].shape[0]);
    return Cost{100 * rows, 16 * rows};
  };
  def.fuse = FuseMarginSoftmax;
  def.fuse_keeps_signatures = true;
  return def;
}

OpDef MarginSoftmaxGradDef() {
  OpDef def =
      Def("margin_softmax_grad", "gradient of margin_softmax_loss by cos",
          {"cos", "labels", "row_max", "row_sum_exp", "dloss"}, "dcos");
  def.infer = InferGradient;
  def.signatures = [](const OpCall&, int) {
    return Signatures(3, 1, Sbp::S(1), Sbp::S(0));
  };
  def.cost = [](const OpCall& local) { return PassCost(local, 30); };
  def.in_place = {{0, 0}};
  return def;
}

}  // namespace facet::ops
