// IResNet: the residual networks that face recognition is trained with (Duta
// et al., "Improved residual networks", arXiv 2004.04989, in the form of
// insightface's arcface_torch), from images to an embedding.
#ifndef FACET_MODELS_IRESNET_H_
#define FACET_MODELS_IRESNET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ops/graph_builder.h"

namespace facet::models {

struct IResNetConfig {
  std::string network = "r50";  // See IResNetLayers.
  int64_t embedding = 512;      // Numbers per image that come out.
  // Blocks and channels of the four stages, instead of those of `network`
  // where not empty: small networks of the same shape, for tests.
  std::vector<int64_t> blocks = {};
  std::vector<int64_t> widths = {};
  // In training, parts of the batch with batch-norm statistics of their own:
  // 1: synchronised; the number of devices: as DistributedDataParallel does.
  int64_t bn_groups = 1;
  double dropout = 0;  // Before the last linear layer; in training only.
  // The last linear layer and what follows compute in float32 in a
  // mixed-precision run, as in arcface_torch.
  bool features_float32 = true;
  // Batch norm by the batch, whose statistics update the running ones; else
  // by the running statistics.
  bool training = true;
};

// Blocks per stage: r18, r34, r50, r100 or r200. InvalidArgument for others.
absl::StatusOr<std::vector<int64_t>> IResNetLayers(absl::string_view network);

struct IResNet {
  ops::TensorId features = ops::kNone;  // f32[N, embedding], not normalised.
  int64_t parameters = 0;  // Elements; the frozen ones too, as PyTorch counts.
};

// Adds the network for `images` [N, 3, 112, 112]. Part "backbone"; layers and
// variables have arcface_torch's names ("layer1.0.conv1.weight"). Running
// statistics are [bn_groups, C]; [1, C] in inference. InvalidArgument for an
// unknown network, an impossible number, or a batch that is too small.
absl::StatusOr<IResNet> AddIResNet(const IResNetConfig& config,
                                   ops::TensorId images,
                                   ops::GraphBuilder* builder);

}  // namespace facet::models

#endif  // FACET_MODELS_IRESNET_H_
