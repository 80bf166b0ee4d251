// gather_rows: the rows of a matrix that a row list names (ops/row_list.h), one
// after the other; padding is rows of zeros. gather_rows_lazily: as they would
// be if every step updated them (ops/sgd_update_rows/decay_history.h). In
// float32, whether the matrix is stored so or as bfloat16.
#include "absl/strings/str_cat.h"
#include "ops/expect_stored.h"
#include "ops/expect_type.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/row_list.h"
#include "ops/sgd_update_rows/row_state_operands.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& weight = call.inputs[0];
  const TensorType& rows = call.inputs[1];
  RETURN_IF_ERROR(ExpectStored("weight", weight, 2, "[C, D]"));
  RETURN_IF_ERROR(CheckRowList(rows, weight));
  outputs->push_back(ListedRows(rows, weight));
  return absl::OkStatus();
}

absl::Status InferLazily(const OpCall& call, std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(Infer(call, outputs));
  return CheckRowState(call.inputs[0], call.inputs[2], call.inputs[3],
                       call.inputs[4]);
}

absl::Status Gradient(GradientContext* context) {
  if (!context->wants_input_gradient(0)) return absl::OkStatus();
  context->set_input_row_gradient(
      0,
      {context->input(1), context->output_gradient(0), "gather_rows_lazily"});
  return absl::OkStatus();
}

// The output is written; its rows are read from these inputs.
Cost GatherCost(const OpCall& local, std::initializer_list<int> matrices) {
  const TensorType& y = local.outputs[0];
  Cost cost;
  cost.bytes = static_cast<double>(y.size_bytes());
  for (int matrix : matrices) {
    const TensorType read = {local.inputs[matrix].dtype, y.shape};
    cost.bytes += static_cast<double>(read.size_bytes());
  }
  // To catch up.
  if (matrices.size() > 1) cost.flops = 4.0 * y.shape.num_elements();
  return cost;
}

OpExample Example(int64_t c, int64_t d, int64_t groups, int64_t capacity,
                  DataType stored = DataType::kFloat32) {
  OpExample example;
  example.inputs = {{stored, {c, d}}, {DataType::kInt32, {groups, capacity}}};
  InputDomain rows = {0, static_cast<double>(c / groups)};
  rows.ascending = true;
  example.domains = {{}, rows};
  return example;
}

OpExample LazyExample(int64_t c, int64_t d, int64_t groups, int64_t capacity,
                      DataType stored = DataType::kFloat32) {
  OpExample example = Example(c, d, groups, capacity, stored);
  example.inputs.push_back(example.inputs[0]);
  example.inputs.push_back({DataType::kInt32, {c}});
  example.inputs.push_back(HistoryExample());
  example.domains.push_back({});
  example.domains.push_back(UpdatedDomain());
  example.domains.push_back({});
  return example;
}

}  // namespace

OpDef GatherRowsDef() {
  OpDef def;
  def.name = "gather_rows";
  def.summary = "the rows of a matrix that a list names";
  def.inputs = {"weight", "rows"};
  def.outputs = {"y"};
  def.infer = Infer;
  def.signatures = [](const OpCall& call, int k) {
    return RowListSignatures(call.inputs[1], k,
                             {{Sbp::S(0), Sbp::S(0)}, {Sbp::S(0)}});
  };
  def.gradient = Gradient;
  def.cost = [](const OpCall& local) { return GatherCost(local, {0}); };
  def.examples = {Example(13, 9, 2, 5), Example(11, 8, 3, 3),
                  Example(14, 5, 4, 2), Example(6, 7, 1, 6),
                  Example(13, 9, 2, 5, DataType::kBFloat16)};
  return def;
}

OpDef GatherRowsLazilyDef() {
  OpDef def;
  def.name = "gather_rows_lazily";
  def.summary = "gather_rows of rows that are caught up first";
  def.inputs = {"weight", "rows", "momentum", "updated", "history"};
  def.outputs = {"y"};
  def.infer = InferLazily;
  def.signatures = [](const OpCall& call, int k) {
    const Sbp split = Sbp::S(0);
    return RowListSignatures(call.inputs[1], k,
                             {{split, split, split, split, Sbp::B()}, {split}});
  };
  def.cost = [](const OpCall& local) { return GatherCost(local, {0, 2}); };
  def.examples = {LazyExample(13, 9, 2, 5), LazyExample(11, 8, 3, 3),
                  LazyExample(14, 5, 4, 2),
                  LazyExample(13, 9, 2, 5, DataType::kBFloat16)};
  return def;
}

}  // namespace facet::ops
