// add and add_n: sums of tensors of the same type, by element. add is the
// residual connection, add_n sums the gradients of a tensor with many readers.
#include "absl/strings/str_cat.h"
#include "ops/gradient.h"
#include "ops/op_def.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& first = call.inputs[0];
  if (!IsFloating(first.dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("input 0 is ", first.ToString(),
                     "; expected float32, float16 or bfloat16"));
  }
  for (size_t i = 1; i < call.inputs.size(); ++i) {
    if (call.inputs[i] != first) {
      return absl::InvalidArgumentError(absl::StrCat(
          "input ", i, " is ", call.inputs[i].ToString(), ", input 0 is ",
          first.ToString(), "; the types must be the same"));
    }
  }
  outputs->push_back(first);
  return absl::OkStatus();
}

std::vector<Signature> Signatures(const OpCall& call, int) {
  const int count = static_cast<int>(call.inputs.size());
  std::vector<Signature> signatures =
      UniformSignatures(count, 1, call.inputs[0].shape.rank());
  signatures.push_back(Uniform(count, 1, Sbp::PSum()));
  return signatures;
}

absl::Status Gradient(GradientContext* context) {
  for (int i = 0; i < context->num_inputs(); ++i) {
    context->set_input_gradient(i, context->output_gradient(0));
  }
  return absl::OkStatus();
}

Cost LocalCostOf(const OpCall& local) {
  const double tensors = local.inputs.size() + 1.0;
  return {(tensors - 2) * local.inputs[0].shape.num_elements(),
          tensors * local.inputs[0].size_bytes()};
}

OpDef Definition() {
  OpDef def;
  def.outputs = {"y"};
  def.infer = Infer;
  def.signatures = Signatures;
  def.gradient = Gradient;
  def.cost = LocalCostOf;
  def.precision.kind = PrecisionRule::Kind::kFollow;
  def.layout.outputs = {0};
  def.layout.same = true;
  return def;
}

}  // namespace

OpDef AddDef() {
  OpDef def = Definition();
  def.name = "add";
  def.summary = "a + b";
  def.inputs = {"a", "b"};
  def.in_place = {{0, 0}, {1, 0}};
  def.precision.operands = {0, 1};
  def.layout.inputs = {0, 1};
  const TensorType matrix = {DataType::kFloat32, {7, 6}};
  const TensorType images = {DataType::kFloat32, {5, 8, 3, 3}};
  def.examples = {{{}, {matrix, matrix}, {}}, {{}, {images, images}, {}}};
  return def;
}

OpDef AddNDef() {
  OpDef def = Definition();
  def.name = "add_n";
  def.summary = "the sum of all x";
  def.inputs = {"x"};
  def.variadic = true;
  def.in_place = {{0, 0}};
  // Of the one name that repeats: it stands for all inputs.
  def.precision.operands = {0};
  def.layout.inputs = {0};
  const TensorType matrix = {DataType::kFloat32, {7, 6}};
  def.examples = {{{}, {matrix}, {}}, {{}, {matrix, matrix, matrix}, {}}};
  return def;
}

}  // namespace facet::ops
