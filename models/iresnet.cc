#include "models/iresnet.h"

#include <algorithm>
#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "models/layers.h"
#include "ops/status_macros.h"

namespace facet::models {
namespace {

using ops::TensorId;

struct Network {
  absl::string_view name;
  int64_t blocks[4];
};

constexpr Network kNetworks[] = {{"r18", {2, 2, 2, 2}},
                                 {"r34", {3, 4, 6, 3}},
                                 {"r50", {3, 4, 14, 3}},
                                 {"r100", {3, 13, 30, 3}},
                                 {"r200", {6, 26, 60, 6}}};
constexpr int64_t kWidths[4] = {64, 128, 256, 512};

absl::Status Check(const IResNetConfig& config, int64_t batch_size) {
  if (config.embedding < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "embedding is ", config.embedding, "; it must be at least 1"));
  }
  if (!(config.dropout >= 0 && config.dropout < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("dropout is ", config.dropout, "; it must be in [0, 1)"));
  }
  if (config.bn_groups < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "bn_groups is ", config.bn_groups, "; it must be at least 1"));
  }
  // The last batch norm has one value per image and channel, and a single
  // value has no variance.
  if (config.training && batch_size < 2 * config.bn_groups) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the batch size is ", batch_size, " in ", config.bn_groups,
        " groups of batch-norm statistics (one per device, unless they are "
        "synchronised); every group needs 2 images: use a batch of at least ",
        2 * config.bn_groups));
  }
  return absl::OkStatus();
}

absl::Status CheckStages(absl::string_view name,
                         const std::vector<int64_t>& counts) {
  if (counts.size() == 4 &&
      *std::min_element(counts.begin(), counts.end()) >= 1) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, " are [", absl::StrJoin(counts, ", "),
                   "]; there must be 4, of at least 1"));
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> IResNetLayers(absl::string_view network) {
  for (const Network& known : kNetworks) {
    if (known.name == network) {
      return std::vector<int64_t>(known.blocks, known.blocks + 4);
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown network \"", network, "\"; use ",
                   absl::StrJoin(kNetworks, ", ",
                                 [](std::string* out, const Network& known) {
                                   absl::StrAppend(out, known.name);
                                 })));
}

absl::StatusOr<IResNet> AddIResNet(const IResNetConfig& config, TensorId images,
                                   ops::GraphBuilder* builder) {
  std::vector<int64_t> blocks = config.blocks;
  if (blocks.empty()) {
    ASSIGN_OR_RETURN(blocks, IResNetLayers(config.network));
  }
  std::vector<int64_t> widths = config.widths;
  if (widths.empty()) widths.assign(std::begin(kWidths), std::end(kWidths));
  RETURN_IF_ERROR(builder->status());
  RETURN_IF_ERROR(Check(config, builder->type(images).shape[0]));
  RETURN_IF_ERROR(CheckStages("blocks", blocks));
  RETURN_IF_ERROR(CheckStages("widths", widths));
  LayerBuilder layers("backbone", builder);
  BatchNormOptions norm;
  norm.training = config.training;
  norm.groups = config.bn_groups;

  TensorId x = layers.Conv("conv1", images, widths[0], 3, 1, 1);
  x = layers.BatchNorm("bn1", x, norm);
  x = layers.Prelu("prelu", x);
  for (int stage = 0; stage < 4; ++stage) {
    for (int64_t block = 0; block < blocks[stage]; ++block) {
      const std::string name = absl::StrCat("layer", stage + 1, ".", block);
      auto sub = [&](absl::string_view layer) {
        return absl::StrCat(name, ".", layer);
      };
      // The first block of a stage halves the image.
      const int64_t stride = block == 0 ? 2 : 1;
      const int64_t width = widths[stage];
      TensorId y = layers.BatchNorm(sub("bn1"), x, norm);
      y = layers.Conv(sub("conv1"), y, width, 3, 1, 1);
      y = layers.BatchNorm(sub("bn2"), y, norm);
      y = layers.Prelu(sub("prelu"), y);
      y = layers.Conv(sub("conv2"), y, width, 3, stride, 1);
      y = layers.BatchNorm(sub("bn3"), y, norm);
      if (block == 0) {
        x = layers.Conv(sub("downsample.0"), x, width, 1, stride, 0);
        x = layers.BatchNorm(sub("downsample.1"), x, norm);
      }
      x = layers.Add(name, "add", name, {y, x});
    }
  }
  x = layers.BatchNorm("bn2", x, norm);
  x = layers.Add("flatten", "flatten", "flatten", {x});
  if (config.training && config.dropout > 0) {
    x = layers.Add(
        "dropout", "dropout", "dropout", {x},
        {{"rate", config.dropout}, {"key", int64_t{NameKey("dropout")}}});
  }
  layers.set_keep_float32(config.features_float32);
  x = layers.Linear("fc", x, config.embedding);
  norm.frozen_scale = true;
  x = layers.BatchNorm("features", x, norm);
  RETURN_IF_ERROR(builder->status());
  return IResNet{x, layers.parameters()};
}

}  // namespace facet::models
