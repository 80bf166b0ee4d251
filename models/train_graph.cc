#include "models/train_graph.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "models/iresnet.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"

namespace facet::models {
namespace {

using ops::TensorId;

struct Batch {
  TensorId images = ops::kNone;  // f32[N, 3, 112, 112]
  TensorId labels = ops::kNone;  // int32[N]
};

absl::StatusOr<Batch> AddSource(int64_t batch_size,
                                ops::GraphBuilder* builder) {
  if (batch_size < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("batch_size is ", batch_size, "; it must be at least 1"));
  }
  builder->set_origin({"data", "data", ops::Phase::kData, false});
  ASSIGN_OR_RETURN(
      const std::vector<TensorId> outputs,
      builder->Add("image_source", "images", {}, {{"batch_size", batch_size}}));
  return Batch{outputs[0], outputs[1]};
}

absl::Status AddFetch(TensorId tensor, absl::string_view name,
                      absl::string_view part, ops::GraphBuilder* builder) {
  builder->set_origin({std::string(name), std::string(part),
                       ops::Phase::kForward, /*keep_float32=*/true});
  return builder
      ->Add("fetch", absl::StrCat("fetch_", name), {tensor},
            {{"name", std::string(name)}})
      .status();
}

}  // namespace

absl::StatusOr<TrainModel> BuildTrainGraph(const TrainConfig& config,
                                           ops::OpLookup lookup) {
  TrainModel model;
  model.graph.name = absl::StrCat(config.network, "_train");
  if (config.sample_rate < 1) {
    absl::StrAppend(&model.graph.name, ", partial_fc ", config.sample_rate);
  }
  for (const auto& [name, dtype] :
       {std::make_pair("weight_type", config.storage.weight),
        std::make_pair("momentum_type", config.storage.momentum)}) {
    if (dtype == ops::DataType::kFloat32) continue;
    absl::StrAppend(&model.graph.name, ", ", name, " ",
                    ops::DataTypeName(dtype));
  }
  ops::GraphBuilder builder(&model.graph, lookup);
  ASSIGN_OR_RETURN(const Batch batch, AddSource(config.batch_size, &builder));

  IResNetConfig network;
  network.network = config.network;
  network.embedding = config.embedding;
  network.bn_groups = config.bn_groups;
  network.dropout = config.dropout;
  ASSIGN_OR_RETURN(const IResNet backbone,
                   AddIResNet(network, batch.images, &builder));

  FaceHeadConfig head_config;
  head_config.classes = config.classes;
  head_config.margin = config.margin;
  head_config.scale = config.scale;
  head_config.margin_gradient = config.margin_gradient;
  head_config.sample_rate = config.sample_rate;
  head_config.class_groups = config.class_groups;
  head_config.storage = config.storage;
  ASSIGN_OR_RETURN(
      const FaceHead head,
      AddFaceHead(head_config, backbone.features, batch.labels, &builder));
  RETURN_IF_ERROR(AddFetch(head.loss, "loss", "head", &builder));

  model.loss = head.loss;
  model.parameters = backbone.parameters + head.parameters;
  model.backbone_parameters = backbone.parameters;
  return model;
}

absl::StatusOr<ops::Graph> BuildEmbedGraph(const EmbedConfig& config,
                                           ops::OpLookup lookup) {
  ops::Graph graph;
  graph.name = absl::StrCat(config.network, "_embed");
  ops::GraphBuilder builder(&graph, lookup);
  ASSIGN_OR_RETURN(const Batch batch, AddSource(config.batch_size, &builder));
  IResNetConfig network;
  network.network = config.network;
  network.embedding = config.embedding;
  network.training = false;
  ASSIGN_OR_RETURN(const IResNet backbone,
                   AddIResNet(network, batch.images, &builder));
  RETURN_IF_ERROR(
      AddFetch(backbone.features, "embedding", "backbone", &builder));
  return graph;
}

}  // namespace facet::models
