// flatten: [N, C, H, W] -> [N, C*H*W], as a linear layer wants its input.
// unflatten: the way back, its gradient.
#include "absl/strings/str_cat.h"
#include "ops/gradient.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status InferFlatten(const OpCall& call,
                          std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  if (x.shape.rank() != 4) {
    return absl::InvalidArgumentError(absl::StrCat(
        "input x is ", x.ToString(), "; expected rank 4, [N, C, H, W]"));
  }
  outputs->push_back({x.dtype, {x.shape[0], x.shape.num_elements(1, 4)}});
  return absl::OkStatus();
}

absl::Status InferUnflatten(const OpCall& call,
                            std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  const int64_t channels = call.attributes.Int("channels");
  const int64_t height = call.attributes.Int("height");
  const int64_t width = call.attributes.Int("width");
  if (channels < 1 || height < 1 || width < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("channels, height and width are ", channels, ", ", height,
                     " and ", width, "; each must be at least 1"));
  }
  // Divided, not multiplied: the product of any three may be beyond int64.
  const bool fits = x.shape.rank() == 2 && x.shape[1] % channels == 0 &&
                    x.shape[1] / channels % height == 0 &&
                    x.shape[1] / channels / height == width;
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat(
        "input x is ", x.ToString(), "; expected [N, channels*height*width] = ",
        "[N, ", channels, "*", height, "*", width, "]"));
  }
  outputs->push_back({x.dtype, {x.shape[0], channels, height, width}});
  return absl::OkStatus();
}

// A split of C is one of C*H*W only if every share has the same size.
std::vector<Signature> Signatures(int64_t channels, int num_devices) {
  std::vector<Signature> signatures = {Uniform(1, 1, Sbp::B()),
                                       Uniform(1, 1, Sbp::S(0)),
                                       Uniform(1, 1, Sbp::PSum())};
  if (channels % num_devices == 0) {
    signatures.push_back(Uniform(1, 1, Sbp::S(1)));
  }
  return signatures;
}

absl::Status FlattenGradient(GradientContext* context) {
  const Shape shape = context->type(context->input(0)).shape;
  ASSIGN_OR_RETURN(
      std::vector<TensorId> dx,
      context->Add(
          "unflatten", {context->output_gradient(0)},
          {{"channels", shape[1]}, {"height", shape[2]}, {"width", shape[3]}}));
  context->set_input_gradient(0, dx[0]);
  return absl::OkStatus();
}

absl::Status UnflattenGradient(GradientContext* context) {
  ASSIGN_OR_RETURN(std::vector<TensorId> dx,
                   context->Add("flatten", {context->output_gradient(0)}));
  context->set_input_gradient(0, dx[0]);
  return absl::OkStatus();
}

}  // namespace

OpDef FlattenDef() {
  OpDef def;
  def.name = "flatten";
  def.summary = "x [N, C, H, W] as [N, C*H*W]";
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = InferFlatten;
  def.signatures = [](const OpCall& call, int num_devices) {
    return Signatures(call.inputs[0].shape[1], num_devices);
  };
  def.gradient = FlattenGradient;
  def.in_place = {{0, 0}};
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{0}, {}, /*same=*/false};
  def.examples = {{{}, {{DataType::kFloat32, {5, 12, 3, 2}}}, {}},
                  {{}, {{DataType::kFloat32, {6, 5, 3, 3}}}, {}}};
  return def;
}

OpDef UnflattenDef() {
  OpDef def;
  def.name = "unflatten";
  def.summary = "x [N, C*H*W] as [N, C, H, W]";
  def.attributes = {
      {"channels", int64_t{0}, true, "C"},
      {"height", int64_t{0}, true, "H"},
      {"width", int64_t{0}, true, "W"},
  };
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = InferUnflatten;
  def.signatures = [](const OpCall& call, int num_devices) {
    return Signatures(call.outputs[0].shape[1], num_devices);
  };
  def.gradient = UnflattenGradient;
  def.in_place = {{0, 0}};
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{}, {0}, /*same=*/false};
  def.examples = {{{{"channels", int64_t{12}},
                    {"height", int64_t{3}},
                    {"width", int64_t{2}}},
                   {{DataType::kFloat32, {5, 72}}},
                   {}}};
  return def;
}

}  // namespace facet::ops
