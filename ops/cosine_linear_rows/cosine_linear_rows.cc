// cosine_linear_sgd_rows: cosine_linear_sgd for the rows that a list names
// (ops/row_list.h): the gradient of cosine_linear(x, gather_rows(w, rows)) by w
// and the optimizer's step, by tiles, without a gradient of w. And the same for
// rows that are updated lazily (ops/sgd_update_rows/decay_history.h).
#include "absl/strings/str_cat.h"
#include "ops/expect_stored.h"
#include "ops/expect_type.h"
#include "ops/l2_normalize/eps_attribute.h"
#include "ops/may_round_attribute.h"
#include "ops/op_def.h"
#include "ops/row_list.h"
#include "ops/sgd_update/optimizer_operands.h"
#include "ops/sgd_update_rows/row_state_operands.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;

// Inputs: w, momentum, [updated, history,] rows, x, dy, scalars.
constexpr int kRows = 2, kLazyRows = 4;

absl::Status Check(const OpCall& call, int rows) {
  const TensorType& w = call.inputs[0];
  const TensorType& list = call.inputs[rows];
  const TensorType& x = call.inputs[rows + 1];
  RETURN_IF_ERROR(ExpectStored("w", w, 2, "[C, D]"));
  RETURN_IF_ERROR(CheckState(w, call.inputs[1]));
  RETURN_IF_ERROR(CheckRowList(list, w));
  RETURN_IF_ERROR(ExpectType("x", x, kFloat32, 2, "[N, D]"));
  RETURN_IF_ERROR(ExpectSameType("x", x, {kFloat32, {x.shape[0], w.shape[1]}},
                                 "as many columns as w, D"));
  RETURN_IF_ERROR(
      ExpectSameType("dy", call.inputs[rows + 2],
                     {kFloat32, {x.shape[0], list.shape.num_elements()}},
                     "a row for each of x, a column for each entry of rows"));
  RETURN_IF_ERROR(CheckEps(call.attributes));
  return CheckSgdOperands(call, rows + 3);
}

absl::Status Infer(const OpCall& call, std::vector<TensorType>*) {
  return Check(call, kRows);
}

absl::Status InferLazy(const OpCall& call, std::vector<TensorType>*) {
  RETURN_IF_ERROR(Check(call, kLazyRows));
  return CheckRowState(call.inputs[0], call.inputs[1], call.inputs[2],
                       call.inputs[3]);
}

std::vector<Signature> Signatures(const OpCall& call, int k, int rows) {
  Signature by_group =
      Uniform(static_cast<int>(call.inputs.size()), 0, Sbp::B());
  for (int i = 0; i <= rows; ++i) by_group.inputs[i] = Sbp::S(0);
  if (rows == kLazyRows) by_group.inputs[3] = Sbp::B();
  by_group.inputs[rows + 2] = Sbp::S(1);
  return RowListSignatures(call.inputs[rows], k, by_group);
}

// Of the listed rows, w and momentum are read and written.
Cost UpdateCost(const OpCall& local, int rows, double flops_per_weight) {
  const TensorType& x = local.inputs[rows + 1];
  const TensorType& dy = local.inputs[rows + 2];
  const double weights =
      static_cast<double>(dy.shape[1]) * static_cast<double>(x.shape[1]);
  Cost cost;
  cost.flops =
      (2.0 * static_cast<double>(x.shape[0]) + flops_per_weight) * weights;
  const Shape listed = {dy.shape[1], x.shape[1]};
  cost.bytes = StateBytes({local.inputs[0].dtype, listed},
                          {local.inputs[1].dtype, listed}) +
               static_cast<double>(x.size_bytes() + dy.size_bytes());
  return cost;
}

OpExample Example(int64_t n, int64_t c, int64_t d, int64_t groups,
                  int64_t capacity, int scalars, bool lazy,
                  DataType stored = kFloat32) {
  OpExample example;
  example.attributes = {
      {"eps", 1e-12}, {"momentum", 0.9}, {"weight_decay", 5e-4}};
  example.inputs.assign(2, {stored, {c, d}});
  if (lazy) {
    example.inputs.push_back({DataType::kInt32, {c}});
    example.inputs.push_back(HistoryExample());
  }
  const size_t rows = example.inputs.size();
  example.inputs.push_back({DataType::kInt32, {groups, capacity}});
  example.inputs.push_back({kFloat32, {n, d}});
  example.inputs.push_back({kFloat32, {n, groups * capacity}});
  example.inputs.insert(example.inputs.end(), scalars, {kFloat32, {}});
  example.domains.assign(example.inputs.size(), InputDomain{});
  if (lazy) example.domains[2] = UpdatedDomain();
  example.domains[rows] = {0, static_cast<double>(c / groups)};
  example.domains[rows].ascending = true;
  // skip: 0, or nothing would happen.
  if (scalars == 3) example.domains.back() = {0, 0};
  return example;
}

OpDef Common(absl::string_view summary, bool lazy) {
  OpDef def;
  def.summary = std::string(summary);
  def.attributes = UpdateAttributes();
  def.attributes.push_back(EpsAttribute());
  def.attributes.push_back(MayRoundAttribute());
  def.inputs = {"w", "momentum"};
  if (lazy) def.inputs.insert(def.inputs.end(), {"updated", "history"});
  def.inputs.insert(def.inputs.end(), {"rows", "x", "dy", "learning_rate",
                                       "gradient_scale", "skip"});
  def.num_optional_inputs = 2;
  def.has_side_effect = true;
  def.examples = {Example(7, 13, 9, 2, 5, 1, lazy),
                  Example(6, 11, 8, 3, 3, 2, lazy),
                  Example(5, 14, 5, 4, 2, 3, lazy),
                  Example(7, 13, 9, 2, 5, 1, lazy, DataType::kBFloat16)};
  return def;
}

}  // namespace

OpDef CosineLinearSgdRowsDef() {
  OpDef def = Common("cosine_linear_sgd of the rows that a list names", false);
  def.name = "cosine_linear_sgd_rows";
  def.infer = Infer;
  def.signatures = [](const OpCall& call, int k) {
    return Signatures(call, k, kRows);
  };
  def.cost = [](const OpCall& local) { return UpdateCost(local, kRows, 15); };
  def.mutates = {0, 1};
  return def;
}

OpDef CosineLinearSgdRowsLazilyDef() {
  OpDef def = Common("cosine_linear_sgd of all rows, done when listed", true);
  def.name = "cosine_linear_sgd_rows_lazily";
  def.infer = InferLazy;
  def.signatures = [](const OpCall& call, int k) {
    return Signatures(call, k, kLazyRows);
  };
  def.cost = [](const OpCall& local) {
    return UpdateCost(local, kLazyRows, 22);
  };
  def.mutates = {0, 1, 2};
  def.settle = {"catch_up_rows", {0, 1, 2, 3}};
  return def;
}

}  // namespace facet::ops
