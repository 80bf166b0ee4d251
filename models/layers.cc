#include "models/layers.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace facet::models {

using ops::TensorId;

uint32_t NameKey(absl::string_view name) {
  uint32_t hash = 2166136261u;
  for (char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  }
  return hash;
}

LayerBuilder::LayerBuilder(std::string part, ops::GraphBuilder* builder)
    : part_(std::move(part)), builder_(builder) {}

TensorId LayerBuilder::Add(absl::string_view layer, absl::string_view op,
                           absl::string_view name,
                           absl::Span<const TensorId> inputs,
                           ops::Attributes attributes) {
  ops::Origin origin;
  origin.layer = std::string(layer);
  origin.part = part_;
  origin.keep_float32 = keep_float32_;
  builder_->set_origin(std::move(origin));
  return builder_->Add1(op, name, inputs, std::move(attributes));
}

TensorId LayerBuilder::Variable(absl::string_view layer, absl::string_view name,
                                std::vector<int64_t> shape, Initial initial,
                                Role role, const Storage& storage) {
  ops::Attributes attributes = {
      {"init", std::string(initial.kind)},
      {initial.attribute, initial.parameter},
      {"key", int64_t{NameKey(name)}},
      {"dtype", std::string(ops::DataTypeName(storage.weight))},
      {"momentum_dtype", std::string(ops::DataTypeName(storage.momentum))},
      {"trainable", role == Role::kTrained || role == Role::kTrainedOwn},
      {"clip", role == Role::kTrained}};
  if (role != Role::kStatistic) {
    parameters_ += ops::Shape(shape).num_elements();
  }
  attributes.Set("shape", std::move(shape));
  return Add(layer, "variable", name, {}, std::move(attributes));
}

ops::Shape LayerBuilder::ShapeOf(TensorId x, int rank) const {
  if (x != ops::kNone) return builder_->type(x).shape;
  CHECK(!builder_->status().ok()) << "no tensor, but no error either";
  ops::Shape shape;
  while (shape.rank() < rank) shape.push_back(1);
  return shape;
}

TensorId LayerBuilder::Conv(absl::string_view layer, TensorId x,
                            int64_t out_channels, int64_t kernel,
                            int64_t stride, int64_t padding) {
  const TensorId weight =
      Variable(layer, absl::StrCat(layer, ".weight"),
               {out_channels, ShapeOf(x, 4)[1], kernel, kernel},
               Initial::Normal(0.1), Role::kTrained);
  return Add(layer, "conv2d", layer, {x, weight},
             {{"stride", stride}, {"padding", padding}});
}

TensorId LayerBuilder::BatchNorm(absl::string_view layer, TensorId x,
                                 const BatchNormOptions& options) {
  const ops::Shape shape = ShapeOf(x, 2);
  const int64_t channels = shape[1];
  const int64_t groups = options.training ? options.groups : 1;
  auto variable = [&](absl::string_view name, std::vector<int64_t> dims,
                      double value, Role role) {
    return Variable(layer, absl::StrCat(layer, ".", name), std::move(dims),
                    Initial::Constant(value), role);
  };
  const TensorId scale =
      variable("weight", {channels}, 1,
               options.frozen_scale ? Role::kFrozen : Role::kTrained);
  const TensorId bias = variable("bias", {channels}, 0, Role::kTrained);
  const TensorId mean =
      variable("running_mean", {groups, channels}, 0, Role::kStatistic);
  const TensorId var =
      variable("running_var", {groups, channels}, 1, Role::kStatistic);
  if (!options.training) {
    return Add(layer, "batch_norm_inference", layer,
               {x, mean, var, scale, bias});
  }
  const TensorId sum =
      Add(layer, "batch_norm_statistics", absl::StrCat(layer, "/statistics"),
          {x}, {{"groups", groups}});
  if (sum == ops::kNone) return ops::kNone;
  const ops::Graph& graph = builder_->graph();
  const TensorId square_sum =
      graph.nodes[graph.tensors[sum].producer].outputs[1];
  Add(layer, "batch_norm_update", absl::StrCat(layer, "/update"),
      {mean, var, sum, square_sum},
      {{"groups", groups},
       {"rows", shape[0]},
       {"spatial", shape.num_elements(2, shape.rank())}});
  return Add(layer, "batch_norm", layer, {x, sum, square_sum, scale, bias},
             {{"groups", groups}});
}

TensorId LayerBuilder::Prelu(absl::string_view layer, TensorId x) {
  const TensorId slope =
      Variable(layer, absl::StrCat(layer, ".weight"), {ShapeOf(x, 2)[1]},
               Initial::Constant(0.25), Role::kTrained);
  return Add(layer, "prelu", layer, {x, slope});
}

TensorId LayerBuilder::Linear(absl::string_view layer, TensorId x,
                              int64_t out_features) {
  const int64_t in_features = ShapeOf(x, 2)[1];
  const Initial initial =
      Initial::Uniform(1 / std::sqrt(static_cast<double>(in_features)));
  const TensorId weight =
      Variable(layer, absl::StrCat(layer, ".weight"),
               {out_features, in_features}, initial, Role::kTrained);
  const TensorId bias = Variable(layer, absl::StrCat(layer, ".bias"),
                                 {out_features}, initial, Role::kTrained);
  const TensorId product = Add(layer, "matmul", absl::StrCat(layer, "/matmul"),
                               {x, weight}, {{"transpose_b", true}});
  return Add(layer, "bias_add", layer, {product, bias});
}

}  // namespace facet::models
