// cast: between the floating element types.
#include "absl/strings/str_cat.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  ASSIGN_OR_RETURN(const DataType dtype,
                   ParseDataType(call.attributes.String("dtype")));
  if (!IsFloating(x.dtype) || !IsFloating(dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cast from ", x.ToString(), " to ", DataTypeName(dtype),
                     "; both must be float32, float16 or bfloat16"));
  }
  outputs->push_back({dtype, x.shape});
  return absl::OkStatus();
}

absl::Status Gradient(GradientContext* context) {
  const DataType dtype = context->type(context->input(0)).dtype;
  ASSIGN_OR_RETURN(std::vector<TensorId> dx,
                   context->Add("cast", {context->output_gradient(0)},
                                {{"dtype", std::string(DataTypeName(dtype))}}));
  context->set_input_gradient(0, dx[0]);
  return absl::OkStatus();
}

}  // namespace

OpDef CastDef() {
  OpDef def;
  def.name = "cast";
  def.summary = "x as another floating type, rounded to nearest even";
  def.attributes = {
      {"dtype", std::string(), true, "\"float32\", \"float16\", \"bfloat16\""},
  };
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = Infer;
  def.signatures = [](const OpCall& call, int) {
    return UniformSignatures(1, 1, call.inputs[0].shape.rank());
  };
  def.gradient = Gradient;
  // A cast of a half tensor needs no float32 copy first.
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{0}, {0}, true};
  auto example = [](DataType from, absl::string_view to) {
    return OpExample{{{"dtype", std::string(to)}}, {{from, {7, 6}}}, {}};
  };
  def.examples = {example(DataType::kFloat32, "bfloat16"),
                  example(DataType::kFloat32, "float16"),
                  example(DataType::kBFloat16, "float32")};
  return def;
}

}  // namespace facet::ops
