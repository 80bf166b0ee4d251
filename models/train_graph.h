// Whole programs: what is trained, and what a trained network is tested with.
#ifndef FACET_MODELS_TRAIN_GRAPH_H_
#define FACET_MODELS_TRAIN_GRAPH_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "models/face_head.h"
#include "ops/graph/graph.h"
#include "ops/op_def.h"

namespace facet::models {

struct TrainConfig {
  std::string network = "r50";  // models/iresnet.h
  int64_t embedding = 512;
  int64_t classes = 0;
  int64_t batch_size = 0;  // Of all devices together.
  int64_t bn_groups = 1;   // 1: synchronised; see models/iresnet.h.
  double dropout = 0;
  Margin margin;
  double scale = 64;
  std::string margin_gradient = "as_arcface_torch";
  // Partial FC; see models/face_head.h.
  double sample_rate = 1;
  int64_t class_groups = 1;
  Storage storage;  // Of the class weights; see models/face_head.h.
};

struct TrainModel {
  ops::Graph graph;
  ops::TensorId loss = ops::kNone;
  int64_t parameters = 0;           // Elements, of backbone and head.
  int64_t backbone_parameters = 0;  // As PyTorch counts: the frozen ones too.
};

// Images and labels from the data source, the network, the head; the loss is
// fetched as "loss". No gradients: those are the compiler's. InvalidArgument
// names the first value that is impossible, and what is possible.
absl::StatusOr<TrainModel> BuildTrainGraph(const TrainConfig& config,
                                           ops::OpLookup lookup);

struct EmbedConfig {
  std::string network = "r50";
  int64_t embedding = 512;
  int64_t batch_size = 0;
};

// The network in inference mode, with variables of the same names as in
// training (running statistics are [1, C]); its output [batch_size, embedding]
// is fetched as "embedding".
absl::StatusOr<ops::Graph> BuildEmbedGraph(const EmbedConfig& config,
                                           ops::OpLookup lookup);

}  // namespace facet::models

#endif  // FACET_MODELS_TRAIN_GRAPH_H_
