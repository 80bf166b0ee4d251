// Two-dimensional convolution (cross-correlation, as every framework means it)
// without groups, dilation or bias, and its two gradients. Kernels: cpu.cc.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/conv2d/algorithm.h"
#include "ops/gradient.h"
#include "ops/may_round_attribute.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr int64_t kMinusOne = -1;

absl::Status CheckImages(absl::string_view name, const TensorType& type) {
  if (type.shape.rank() != 4 || !IsFloating(type.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " is ", type.ToString(), "; expected floating [N, C, H, W]"));
  }
  return absl::OkStatus();
}

absl::Status CheckKernel(const TensorType& type) {
  if (type.shape.rank() != 4 || !IsFloating(type.dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("w is ", type.ToString(),
                     "; expected floating [output channels, input channels, "
                     "kernel height, kernel width]"));
  }
  return absl::OkStatus();
}

absl::Status CheckSameDtype(absl::string_view a_name, const TensorType& a,
                            absl::string_view b_name, const TensorType& b) {
  if (a.dtype != b.dtype) {
    return absl::InvalidArgumentError(
        absl::StrCat(a_name, " is ", a.ToString(), " but ", b_name, " is ",
                     b.ToString(), "; both must have the same type: cast one"));
  }
  return absl::OkStatus();
}

absl::Status CheckAttributes(const Attributes& attributes) {
  const int64_t stride = attributes.Int("stride");
  if (stride < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("stride is ", stride, "; expected at least 1"));
  }
  const int64_t padding = attributes.Int("padding");
  if (padding < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("padding is ", padding, "; expected at least 0"));
  }
  const std::string& algorithm = attributes.String("algorithm");
  if (algorithm != "auto" && algorithm != "direct" && algorithm != "winograd" &&
      !CudnnEngine(algorithm).has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "algorithm is \"", algorithm,
        "\"; expected \"auto\", \"direct\", \"winograd\" or \"cudnn:N\" with "
        "N from 0"));
  }
  return absl::OkStatus();
}

// Extent of the output along one dimension.
absl::StatusOr<int64_t> OutputExtent(absl::string_view dimension,
                                     int64_t extent, int64_t kernel,
                                     const Attributes& attributes) {
  const int64_t padded = extent + 2 * attributes.Int("padding");
  if (kernel < 1 || padded < kernel) {
    return absl::InvalidArgumentError(
        absl::StrCat("the kernel's ", dimension, " is ", kernel,
                     "; expected from 1 to ", padded, ", the padded image's"));
  }
  return (padded - kernel) / attributes.Int("stride") + 1;
}

// The output's shape for x [N, C, H, W] and w [O, C, KH, KW].
absl::StatusOr<Shape> OutputShape(const Shape& x, const Shape& w,
                                  const Attributes& attributes) {
  if (x[1] != w[1]) {
    return absl::InvalidArgumentError(
        absl::StrCat("x ", x.ToString(), " has ", x[1], " channels but w ",
                     w.ToString(), " takes ", w[1]));
  }
  ASSIGN_OR_RETURN(int64_t height,
                   OutputExtent("height", x[2], w[2], attributes));
  ASSIGN_OR_RETURN(int64_t width,
                   OutputExtent("width", x[3], w[3], attributes));
  return Shape{x[0], w[0], height, width};
}

absl::Status InferConv2d(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  const TensorType& w = call.inputs[1];
  RETURN_IF_ERROR(CheckImages("x", x));
  RETURN_IF_ERROR(CheckKernel(w));
  RETURN_IF_ERROR(CheckSameDtype("x", x, "w", w));
  RETURN_IF_ERROR(CheckAttributes(call.attributes));
  ASSIGN_OR_RETURN(Shape shape, OutputShape(x.shape, w.shape, call.attributes));
  outputs->push_back({x.dtype, shape});
  return absl::OkStatus();
}

absl::Status CheckGradientShape(const Shape& dy, const Shape& expected) {
  if (dy != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("dy has the shape ", dy.ToString(),
                     " but the convolution's output is ", expected.ToString()));
  }
  return absl::OkStatus();
}

absl::Status InferGradInput(const OpCall& call,
                            std::vector<TensorType>* outputs) {
  const TensorType& dy = call.inputs[0];
  const TensorType& w = call.inputs[1];
  RETURN_IF_ERROR(CheckImages("dy", dy));
  RETURN_IF_ERROR(CheckKernel(w));
  RETURN_IF_ERROR(CheckSameDtype("dy", dy, "w", w));
  RETURN_IF_ERROR(CheckAttributes(call.attributes));
  const Shape x{dy.shape[0], w.shape[1], call.attributes.Int("height"),
                call.attributes.Int("width")};
  ASSIGN_OR_RETURN(Shape expected, OutputShape(x, w.shape, call.attributes));
  RETURN_IF_ERROR(CheckGradientShape(dy.shape, expected));
  outputs->push_back({dy.dtype, x});
  return absl::OkStatus();
}

absl::Status InferGradWeight(const OpCall& call,
                             std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  const TensorType& dy = call.inputs[1];
  RETURN_IF_ERROR(CheckImages("x", x));
  RETURN_IF_ERROR(CheckImages("dy", dy));
  RETURN_IF_ERROR(CheckSameDtype("x", x, "dy", dy));
  RETURN_IF_ERROR(CheckAttributes(call.attributes));
  const Shape w{dy.shape[1], x.shape[1], call.attributes.Int("kernel_height"),
                call.attributes.Int("kernel_width")};
  ASSIGN_OR_RETURN(Shape expected, OutputShape(x.shape, w, call.attributes));
  RETURN_IF_ERROR(CheckGradientShape(dy.shape, expected));
  outputs->push_back({DataType::kFloat32, w});
  return absl::OkStatus();
}

// Of all three: each output element of the convolution takes C * KH * KW
// multiply-adds, forward and for either gradient. (Those with the zeros of the
// padding are counted, as everybody does.) By Winograd's F(4x4, 3x3) 16 of them
// take 36 products per pair of channels, and transforms of either tile: their
// 170 or so additions and 72 loads and stores take as long as 500 flops.
Cost ConvolutionCost(const OpCall& local, const Shape& y, const Shape& w) {
  Cost cost;
  if (local.attributes.String("algorithm") == "winograd") {
    const double tiles = y[0] * ((y[2] + 3) / 4) * ((y[3] + 3) / 4);
    cost.flops = tiles * (2.0 * 36 * w[0] * w[1] + 500.0 * (w[0] + w[1])) +
                 500.0 * w[0] * w[1];
  } else {
    cost.flops = 2.0 * static_cast<double>(y.num_elements()) *
                 static_cast<double>(w.num_elements(1, 4));
  }
  for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
  for (const TensorType& type : local.outputs) cost.bytes += type.size_bytes();
  return cost;
}

std::vector<AttributeSpec> CommonAttributes() {
  return {{"stride", int64_t{1}, false, "step of the window, both ways"},
          {"padding", int64_t{0}, false, "zeros around the image, each side"},
          {"algorithm", std::string("auto"), false,
           "\"auto\": the device decides; on CPUs also \"direct\" and "
           "\"winograd\" (3x3, stride 1, padding 1, multiples of 16 channels, "
           "blocked layout)"},
          MayRoundAttribute()};
}

// dw is float32 whatever the inputs; a gradient has its input's type.
absl::Status SetGradient(GradientContext* context, int input,
                         TensorId gradient) {
  const DataType want = context->type(context->input(input)).dtype;
  if (context->type(gradient).dtype != want) {
    ASSIGN_OR_RETURN(
        std::vector<TensorId> cast,
        context->Add("cast", {gradient},
                     {{"dtype", std::string(DataTypeName(want))}}));
    gradient = cast[0];
  }
  context->set_input_gradient(input, gradient);
  return absl::OkStatus();
}

absl::Status Conv2dGradient(GradientContext* context) {
  const TensorId x = context->input(0);
  const TensorId w = context->input(1);
  const TensorId dy = context->output_gradient(0);
  const Shape x_shape = context->type(x).shape;
  const Shape w_shape = context->type(w).shape;
  if (context->wants_input_gradient(0)) {
    Attributes attributes = context->attributes();
    attributes.Set("height", x_shape[2]);
    attributes.Set("width", x_shape[3]);
    ASSIGN_OR_RETURN(
        std::vector<TensorId> dx,
        context->Add("conv2d_grad_input", {dy, w}, std::move(attributes)));
    RETURN_IF_ERROR(SetGradient(context, 0, dx[0]));
  }
  if (context->wants_input_gradient(1)) {
    Attributes attributes = context->attributes();
    attributes.Set("kernel_height", w_shape[2]);
    attributes.Set("kernel_width", w_shape[3]);
    ASSIGN_OR_RETURN(
        std::vector<TensorId> dw,
        context->Add("conv2d_grad_weight", {x, dy}, std::move(attributes)));
    RETURN_IF_ERROR(SetGradient(context, 1, dw[0]));
  }
  return absl::OkStatus();
}

OpExample Example(int64_t stride, int64_t padding, Attributes more,
                  std::vector<Shape> inputs) {
  OpExample example;
  example.attributes = std::move(more);
  example.attributes.Set("stride", stride);
  example.attributes.Set("padding", padding);
  for (Shape& shape : inputs) {
    example.inputs.push_back({DataType::kFloat32, std::move(shape)});
  }
  return example;
}

}  // namespace

OpDef Conv2dDef() {
  OpDef def;
  def.name = "conv2d";
  def.summary = "convolution of images with a kernel";
  def.attributes = CommonAttributes();
  def.inputs = {"x", "w"};
  def.outputs = {"y"};
  def.infer = InferConv2d;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(2, 1, Sbp::B()),
            {{Sbp::S(0), Sbp::B()}, {Sbp::S(0)}},
            {{Sbp::B(), Sbp::S(0)}, {Sbp::S(1)}},
            {{Sbp::S(1), Sbp::S(1)}, {Sbp::PSum()}}};
  };
  def.gradient = Conv2dGradient;
  def.cost = [](const OpCall& local) {
    return ConvolutionCost(local, local.outputs[0].shape,
                           local.inputs[1].shape);
  };
  def.precision = {PrecisionRule::Kind::kHalf, {0, 1}};
  def.layout = {{0}, {0}, /*same=*/false};
  def.examples = {
      Example(1, 1, {}, {{5, 6, 7, 8}, {9, 6, 3, 3}}),
      Example(2, 0, {}, {{7, 5, 6, 5}, {8, 5, 1, 1}}),
  };
  return def;
}

OpDef Conv2dGradInputDef() {
  OpDef def;
  def.name = "conv2d_grad_input";
  def.summary = "gradient of conv2d by its images";
  def.attributes = CommonAttributes();
  def.attributes.push_back({"height", kMinusOne, true, "of x"});
  def.attributes.push_back({"width", kMinusOne, true, "of x"});
  def.inputs = {"dy", "w"};
  def.outputs = {"dx"};
  def.infer = InferGradInput;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(2, 1, Sbp::B()),
            {{Sbp::S(0), Sbp::B()}, {Sbp::S(0)}},
            {{Sbp::B(), Sbp::S(1)}, {Sbp::S(1)}},
            {{Sbp::S(1), Sbp::S(0)}, {Sbp::PSum()}}};
  };
  def.cost = [](const OpCall& local) {
    return ConvolutionCost(local, local.inputs[0].shape, local.inputs[1].shape);
  };
  def.precision = {PrecisionRule::Kind::kHalf, {0, 1}};
  def.layout = {{0}, {0}, /*same=*/false};
  const int64_t seven = 7, eight = 8;
  def.examples = {
      Example(1, 1, {{"height", seven}, {"width", eight}},
              {{5, 9, 7, 8}, {9, 6, 3, 3}}),
      Example(2, 1, {{"height", seven}, {"width", eight}},
              {{6, 8, 4, 4}, {8, 5, 3, 3}}),
  };
  return def;
}

OpDef Conv2dGradWeightDef() {
  OpDef def;
  def.name = "conv2d_grad_weight";
  def.summary = "gradient of conv2d by its kernel, in float32";
  def.attributes = CommonAttributes();
  def.attributes.push_back({"kernel_height", kMinusOne, true, "of w"});
  def.attributes.push_back({"kernel_width", kMinusOne, true, "of w"});
  def.inputs = {"x", "dy"};
  def.outputs = {"dw"};
  def.infer = InferGradWeight;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    return {Uniform(2, 1, Sbp::B()),
            {{Sbp::S(0), Sbp::S(0)}, {Sbp::PSum()}},
            {{Sbp::B(), Sbp::S(1)}, {Sbp::S(0)}},
            {{Sbp::S(1), Sbp::B()}, {Sbp::S(1)}}};
  };
  def.cost = [](const OpCall& local) {
    return ConvolutionCost(local, local.inputs[1].shape,
                           local.outputs[0].shape);
  };
  def.precision = {PrecisionRule::Kind::kHalf, {0, 1}};
  def.layout = {{0, 1}, {}, /*same=*/false};
  const int64_t three = 3, one = 1;
  def.examples = {
      Example(1, 1, {{"kernel_height", three}, {"kernel_width", three}},
              {{5, 6, 7, 8}, {5, 9, 7, 8}}),
      Example(2, 0, {{"kernel_height", one}, {"kernel_width", one}},
              {{7, 5, 6, 5}, {7, 8, 3, 3}}),
  };
  return def;
}

}  // namespace facet::ops
