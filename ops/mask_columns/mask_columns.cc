// mask_columns: takes the columns that belong to the padding of a row list
// (ops/row_list.h) out of a softmax.
#include "absl/strings/str_cat.h"
#include "ops/expect_type.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/row_list.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  const TensorType& rows = call.inputs[1];
  RETURN_IF_ERROR(ExpectType("x", x, DataType::kFloat32, 2, "[N, G * K]"));
  RETURN_IF_ERROR(CheckRowList(rows));
  if (x.shape[1] != rows.shape.num_elements()) {
    return absl::InvalidArgumentError(
        absl::StrCat("x is ", x.ToString(), " but rows is ", rows.ToString(),
                     "; x must have a column for each of its entries"));
  }
  const std::string& fill = call.attributes.String("fill");
  if (fill != "lowest" && fill != "zero") {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute \"fill\" is \"", fill,
                     "\"; use \"lowest\" (-infinity) or \"zero\""));
  }
  outputs->push_back(x);
  return absl::OkStatus();
}

absl::Status Gradient(GradientContext* context) {
  if (!context->wants_input_gradient(0)) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      std::vector<TensorId> dx,
      context->Add("mask_columns",
                   {context->output_gradient(0), context->input(1)},
                   {{"fill", std::string("zero")}}));
  context->set_input_gradient(0, dx[0]);
  return absl::OkStatus();
}

OpExample Example(int64_t n, int64_t groups, int64_t capacity,
                  const char* fill) {
  OpExample example;
  example.attributes = {{"fill", std::string(fill)}};
  example.inputs = {{DataType::kFloat32, {n, groups * capacity}},
                    {DataType::kInt32, {groups, capacity}}};
  InputDomain rows = {0, static_cast<double>(2 * capacity) - 3};
  rows.ascending = true;
  example.domains = {{}, rows};
  return example;
}

}  // namespace

OpDef MaskColumnsDef() {
  OpDef def;
  def.name = "mask_columns";
  def.summary = "x, with another value where a row list has padding";
  def.attributes = {{"fill", std::string("lowest"), false,
                     "\"lowest\" (-infinity) or \"zero\""}};
  def.inputs = {"x", "rows"};
  def.outputs = {"y"};
  def.infer = Infer;
  def.signatures = [](const OpCall& call, int k) {
    std::vector<Signature> signatures = RowListSignatures(
        call.inputs[1], k, {{Sbp::S(1), Sbp::S(0)}, {Sbp::S(1)}});
    signatures.push_back({{Sbp::S(0), Sbp::B()}, {Sbp::S(0)}});
    return signatures;
  };
  def.gradient = Gradient;
  // In place, as a rule: padding is a few per cent of the columns.
  def.cost = [](const OpCall& local) {
    return Cost{0, 0.1 * static_cast<double>(local.outputs[0].size_bytes())};
  };
  def.in_place = {{0, 0}};
  def.examples = {Example(7, 2, 5, "lowest"), Example(6, 3, 4, "zero"),
                  Example(5, 4, 3, "lowest"), Example(4, 1, 9, "zero")};
  return def;
}

}  // namespace facet::ops
