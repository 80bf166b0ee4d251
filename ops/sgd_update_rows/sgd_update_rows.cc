// sgd_update_rows: the optimizer's step for the rows that a list names
// (ops/row_list.h); other rows stay as they are. sgd_update_rows_lazily: as if
// all rows took the step, those that are not listed with a gradient of 0 (they
// are caught up when they are next listed: decay_history.h), with
// decay_history_update, its bookkeeping, and catch_up_rows, which makes it
// visible in all rows.
#include "absl/strings/str_cat.h"
#include "ops/expect_stored.h"
#include "ops/expect_type.h"
#include "ops/op_def.h"
#include "ops/row_list.h"
#include "ops/sgd_update/optimizer_operands.h"
#include "ops/sgd_update_rows/row_state_operands.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;

// `rows`: the index of that input; the gradient and the scalars follow it.
absl::Status CheckUpdate(const OpCall& call, int rows) {
  const TensorType& weight = call.inputs[0];
  RETURN_IF_ERROR(ExpectStored("weight", weight, 2, "[C, D]"));
  RETURN_IF_ERROR(CheckState(weight, call.inputs[1]));
  RETURN_IF_ERROR(CheckRowList(call.inputs[rows], weight));
  RETURN_IF_ERROR(ExpectSameType("gradient", call.inputs[rows + 1],
                                 ListedRows(call.inputs[rows], weight),
                                 "one row per entry of rows"));
  return CheckSgdOperands(call, rows + 2);
}

absl::Status InferUpdate(const OpCall& call, std::vector<TensorType>*) {
  return CheckUpdate(call, /*rows=*/2);
}

absl::Status InferLazyUpdate(const OpCall& call, std::vector<TensorType>*) {
  RETURN_IF_ERROR(CheckUpdate(call, /*rows=*/4));
  return CheckRowState(call.inputs[0], call.inputs[1], call.inputs[2],
                       call.inputs[3]);
}

absl::Status InferHistoryUpdate(const OpCall& call, std::vector<TensorType>*) {
  RETURN_IF_ERROR(CheckHistory(call.inputs[0]));
  RETURN_IF_ERROR(ExpectScalar("learning_rate", call.inputs[1]));
  if (call.inputs.size() > 2) {
    RETURN_IF_ERROR(ExpectScalar("skip", call.inputs[2]));
  }
  return CheckSgdOperands(call, call.inputs.size());
}

absl::Status InferCatchUp(const OpCall& call, std::vector<TensorType>*) {
  RETURN_IF_ERROR(ExpectStored("weight", call.inputs[0], 2, "[C, D]"));
  return CheckRowState(call.inputs[0], call.inputs[1], call.inputs[2],
                       call.inputs[3]);
}

// Of the listed rows, whose gradient is input `gradient`.
Cost UpdateCost(const OpCall& local, int gradient, double flops) {
  const TensorType& listed = local.inputs[gradient];
  Cost cost;
  cost.flops = flops * static_cast<double>(listed.shape.num_elements());
  cost.bytes = StateBytes({local.inputs[0].dtype, listed.shape},
                          {local.inputs[1].dtype, listed.shape}) +
               static_cast<double>(listed.size_bytes());
  return cost;
}

OpExample UpdateExample(int64_t c, int64_t d, int64_t groups, int64_t capacity,
                        int scalars, bool lazy, DataType stored = kFloat32) {
  OpExample example;
  example.attributes = {{"momentum", 0.9}, {"weight_decay", 5e-4}};
  example.inputs.assign(2, {stored, {c, d}});
  if (lazy) {
    example.inputs.push_back({DataType::kInt32, {c}});
    example.inputs.push_back(HistoryExample());
  }
  const size_t rows = example.inputs.size();
  example.inputs.push_back({DataType::kInt32, {groups, capacity}});
  example.inputs.push_back({kFloat32, {groups * capacity, d}});
  example.inputs.insert(example.inputs.end(), scalars, {kFloat32, {}});
  example.domains.assign(example.inputs.size(), InputDomain{});
  if (lazy) example.domains[2] = UpdatedDomain();
  example.domains[rows] = {0, static_cast<double>(c / groups)};
  example.domains[rows].ascending = true;
  // skip: 0, or nothing would happen.
  if (scalars == 3) example.domains.back() = {0, 0};
  return example;
}

Signature ByGroup(const OpCall& call, int row_operands) {
  Signature signature =
      Uniform(static_cast<int>(call.inputs.size()), 0, Sbp::B());
  for (int i = 0; i < row_operands; ++i) signature.inputs[i] = Sbp::S(0);
  return signature;
}

}  // namespace

OpDef SgdUpdateRowsDef() {
  OpDef def;
  def.name = "sgd_update_rows";
  def.summary = "sgd_update of the rows that a list names";
  def.attributes = UpdateAttributes();
  def.inputs = {"weight",        "momentum",       "rows", "gradient",
                "learning_rate", "gradient_scale", "skip"};
  def.num_optional_inputs = 2;
  def.infer = InferUpdate;
  def.signatures = [](const OpCall& call, int k) {
    return RowListSignatures(call.inputs[2], k, ByGroup(call, 4));
  };
  def.cost = [](const OpCall& local) { return UpdateCost(local, 3, 7); };
  def.mutates = {0, 1};
  def.has_side_effect = true;
  def.examples = {UpdateExample(13, 9, 2, 5, 1, false),
                  UpdateExample(11, 8, 3, 3, 2, false),
                  UpdateExample(14, 5, 4, 2, 3, false),
                  UpdateExample(13, 9, 2, 5, 1, false, DataType::kBFloat16)};
  return def;
}

OpDef SgdUpdateRowsLazilyDef() {
  OpDef def;
  def.name = "sgd_update_rows_lazily";
  def.summary = "sgd_update of all rows, done when a list names them";
  def.attributes = UpdateAttributes();
  def.inputs = {"weight",        "momentum",       "updated",
                "history",       "rows",           "gradient",
                "learning_rate", "gradient_scale", "skip"};
  def.num_optional_inputs = 2;
  def.infer = InferLazyUpdate;
  def.signatures = [](const OpCall& call, int k) {
    Signature by_group = ByGroup(call, 6);
    by_group.inputs[3] = Sbp::B();
    return RowListSignatures(call.inputs[4], k, by_group);
  };
  def.cost = [](const OpCall& local) { return UpdateCost(local, 5, 14); };
  def.mutates = {0, 1, 2};
  def.settle = {"catch_up_rows", {0, 1, 2, 3}};
  def.has_side_effect = true;
  def.examples = {UpdateExample(13, 9, 2, 5, 1, true),
                  UpdateExample(11, 8, 3, 3, 2, true),
                  UpdateExample(14, 5, 4, 2, 3, true),
                  UpdateExample(13, 9, 2, 5, 1, true, DataType::kBFloat16)};
  return def;
}

OpDef DecayHistoryUpdateDef() {
  OpDef def;
  def.name = "decay_history_update";
  def.summary = "adds this step to what lazily updated rows catch up with";
  def.attributes = SgdAttributes();
  def.inputs = {"history", "learning_rate", "skip"};
  def.num_optional_inputs = 1;
  def.infer = InferHistoryUpdate;
  def.signatures = [](const OpCall& call, int) -> std::vector<Signature> {
    return {Uniform(static_cast<int>(call.inputs.size()), 0, Sbp::B())};
  };
  def.mutates = {0};
  def.has_side_effect = true;
  OpExample example;
  example.attributes = {{"momentum", 0.9}, {"weight_decay", 5e-4}};
  example.inputs = {HistoryExample(), {kFloat32, {}}, {kFloat32, {}}};
  example.domains = {{}, {}, {0, 0}};
  def.examples = {example};
  return def;
}

OpDef CatchUpRowsDef() {
  OpDef def;
  def.name = "catch_up_rows";
  def.summary = "lazily updated rows become what they are by now";
  def.attributes = {RoundingKeyAttribute()};
  def.inputs = {"weight", "momentum", "updated", "history"};
  def.infer = InferCatchUp;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    Signature split = Uniform(4, 0, Sbp::S(0));
    split.inputs[3] = Sbp::B();
    return {Uniform(4, 0, Sbp::B()), split};
  };
  def.mutates = {0, 1, 2};
  def.has_side_effect = true;
  for (DataType stored : {kFloat32, DataType::kBFloat16}) {
    OpExample example;
    example.inputs = {{stored, {13, 9}},
                      {stored, {13, 9}},
                      {DataType::kInt32, {13}},
                      HistoryExample()};
    example.domains = {{}, {}, UpdatedDomain(), {}};
    def.examples.push_back(std::move(example));
  }
  return def;
}

}  // namespace facet::ops
