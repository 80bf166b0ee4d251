#include "models/face_head.h"

#include <cmath>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "models/layers.h"
#include "ops/sample_classes/sampling.h"
#include "ops/status_macros.h"

namespace facet::models {
namespace {

using ops::TensorId;

absl::Status CheckMargin(const Margin& margin) {
  const bool finite = std::isfinite(margin.m1) && std::isfinite(margin.m2) &&
                      std::isfinite(margin.m3);
  if (finite && margin.m1 > 0 && margin.m2 >= 0 && margin.m3 >= 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "margin is m1 = ", margin.m1, ", m2 = ", margin.m2, ", m3 = ", margin.m3,
      "; m1 must be above 0 (1: none), m2 and m3 must be 0 or more"));
}

absl::Status Check(const FaceHeadConfig& config) {
  constexpr int64_t kMostClasses = std::numeric_limits<int32_t>::max();
  if (config.classes < 2 || config.classes > kMostClasses) {
    return absl::InvalidArgumentError(absl::StrCat(
        "classes is ", config.classes, "; it must be from 2 to ", kMostClasses,
        ": a single class leaves nothing to learn, and labels are int32"));
  }
  if (!(config.scale > 0) || std::isinf(config.scale)) {
    return absl::InvalidArgumentError(
        absl::StrCat("scale is ", config.scale, "; it must be above 0, as 64"));
  }
  if (!(config.sample_rate >= 0 && config.sample_rate <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sample_rate is ", config.sample_rate,
        "; it must be from 0 (positives only) to 1 (all classes)"));
  }
  if (config.class_groups < 1 || config.class_groups > config.classes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "class_groups is ", config.class_groups,
        "; it must be from 1 to the number of classes, ", config.classes));
  }
  return CheckMargin(config.margin);
}

// The class weights that take part in a step.
struct Centres {
  TensorId weights = ops::kNone;  // [C, D], or of sampled classes
  TensorId labels = ops::kNone;   // Rows of weights, one for each image.
  TensorId rows = ops::kNone;     // The row list; kNone: all classes.
};

absl::StatusOr<Centres> AddSample(const FaceHeadConfig& config, TensorId weight,
                                  TensorId labels, ops::GraphBuilder* builder) {
  if (config.sample_rate == 1) return Centres{weight, labels, ops::kNone};
  const int64_t largest =
      (config.classes + config.class_groups - 1) / config.class_groups;
  ASSIGN_OR_RETURN(
      const std::vector<TensorId> sample,
      builder->Add(
          "sample_classes", "head.sample", {labels},
          {{"classes", config.classes},
           {"groups", config.class_groups},
           {"capacity", ops::SampleCapacity(largest, config.sample_rate,
                                            builder->type(labels).shape[0])},
           {"rate", config.sample_rate},
           {"key", int64_t{NameKey("head.sample")}}}));
  ASSIGN_OR_RETURN(
      const std::vector<TensorId> weights,
      builder->Add("gather_rows", "head.sampled", {weight, sample[0]}));
  return Centres{weights[0], sample[1], sample[0]};
}

}  // namespace

absl::StatusOr<Margin> ParseMargin(absl::string_view text) {
  if (text == "arcface") return Margin{1, 0.5, 0};
  if (text == "cosface") return Margin{1, 0, 0.4};
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  Margin margin;
  if (parts.size() != 3 || !absl::SimpleAtod(parts[0], &margin.m1) ||
      !absl::SimpleAtod(parts[1], &margin.m2) ||
      !absl::SimpleAtod(parts[2], &margin.m3)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "margin \"", text,
        "\"; use arcface, cosface, or three numbers m1,m2,m3 for cos(m1 * "
        "theta + m2) - m3, as 1,0.5,0"));
  }
  RETURN_IF_ERROR(CheckMargin(margin));
  return margin;
}

absl::StatusOr<FaceHead> AddFaceHead(const FaceHeadConfig& config,
                                     TensorId features, TensorId labels,
                                     ops::GraphBuilder* builder) {
  RETURN_IF_ERROR(Check(config));
  RETURN_IF_ERROR(builder->status());
  const int64_t dimension = builder->type(features).shape[1];
  LayerBuilder layers("head", builder);
  layers.set_keep_float32(true);
  auto add = [&](absl::string_view op, absl::string_view name,
                 std::vector<TensorId> inputs,
                 ops::Attributes attributes = {}) {
    return layers.Add("head", op, name, inputs, std::move(attributes));
  };
  const TensorId weight =
      layers.Variable("head", "head.weight", {config.classes, dimension},
                      Initial::Normal(0.01), Role::kTrainedOwn, config.storage);
  RETURN_IF_ERROR(builder->status());
  // Padding of a sample has weights and so cosines of 0; the mask takes it out
  // of the softmax, and so of all gradients.
  ASSIGN_OR_RETURN(const Centres centres,
                   AddSample(config, weight, labels, builder));
  const TensorId x = add("l2_normalize", "head.features", {features});
  const TensorId w = add("l2_normalize", "head.centres", {centres.weights});
  TensorId cosines =
      add("matmul", "head.cosines", {x, w}, {{"transpose_b", true}});
  if (centres.rows != ops::kNone) {
    cosines = add("mask_columns", "head.masked", {cosines, centres.rows});
  }
  const TensorId logits =
      add("combined_margin", "head.logits", {cosines, centres.labels},
          {{"m1", config.margin.m1},
           {"m2", config.margin.m2},
           {"m3", config.margin.m3},
           {"scale", config.scale},
           {"gradient", config.margin_gradient}});
  // The statistics of the rows are tensors of their own: where the classes
  // are split over devices, these and not the logits are communicated.
  const TensorId row_max = add("row_max", "head.row_max", {logits});
  const TensorId row_sum_exp =
      add("row_sum_exp", "head.row_sum_exp", {logits, row_max});
  const TensorId loss = add("softmax_cross_entropy", "loss",
                            {logits, row_max, row_sum_exp, centres.labels});
  RETURN_IF_ERROR(builder->status());
  return FaceHead{loss, layers.parameters()};
}

}  // namespace facet::models
