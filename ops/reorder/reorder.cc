// reorder: the same tensor in another memory layout. The layouts themselves
// are in the slices of its input and output.
#include "absl/strings/str_cat.h"
#include "ops/op_def.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  if (x.shape.rank() != 4) {
    return absl::InvalidArgumentError(
        absl::StrCat("input x is ", x.ToString(),
                     "; only tensors [N, C, H, W] have other layouts"));
  }
  outputs->push_back(x);
  return absl::OkStatus();
}

}  // namespace

OpDef ReorderDef() {
  OpDef def;
  def.name = "reorder";
  def.summary = "x in another memory layout";
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = Infer;
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{0}, {0}, /*same=*/false};
  def.physical = true;
  return def;
}

}  // namespace facet::ops
