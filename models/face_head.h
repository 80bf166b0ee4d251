// The face head: from embeddings to the loss. A linear classifier between
// normalised embeddings and normalised class centres (cosines), made harder at
// the target by an angular margin, then softmax cross-entropy (ArcFace, arXiv
// 1801.07698; CosFace, arXiv 1801.09414).
#ifndef FACET_MODELS_FACE_HEAD_H_
#define FACET_MODELS_FACE_HEAD_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/layers.h"
#include "ops/graph_builder.h"

namespace facet::models {

// The target's cosine becomes cos(m1 * theta + m2) - m3.
struct Margin {
  double m1 = 1;
  double m2 = 0.5;
  double m3 = 0;
};

// "arcface" (1, 0.5, 0), "cosface" (1, 0, 0.4), or three numbers "m1,m2,m3".
// InvalidArgument for anything else, m1 not above 0, or m2 or m3 below 0.
absl::StatusOr<Margin> ParseMargin(absl::string_view text);

struct FaceHeadConfig {
  int64_t classes = 0;
  Margin margin;
  double scale = 64;
  // How the gradient passes the margin: "as_arcface_torch" or "exact"; see
  // combined_margin in docs/operators.md.
  std::string margin_gradient = "as_arcface_torch";
  // Partial FC: besides the classes of the batch's labels, each class takes
  // part in a step with this probability (ops/sample_classes/sampling.h). 1:
  // all classes do.
  double sample_rate = 1;
  // With a sample rate below 1: parts of the classes that are sampled on their
  // own, with room for each. As many as there are devices lets every device
  // have one (any other number of devices has all on each); the sample is the
  // same for any number.
  int64_t class_groups = 1;
  // Of the class weights. In bfloat16 they and their momentum take half the
  // memory; what a step writes is rounded stochastically.
  Storage storage;
};

struct FaceHead {
  ops::TensorId loss = ops::kNone;  // f32 scalar, the mean over the batch.
  int64_t parameters = 0;           // Elements of "head.weight".
};

// Adds the head for `features` f32[N, D] and `labels` int32[N], which must be
// below the number of classes. Part "head", all in float32. The class centres
// are the variable "head.weight" [classes, D], N(0, 0.01^2) at first; its
// gradient takes no part in clipping. InvalidArgument for fewer than 2 or more
// than 2^31 - 1 classes, or an impossible margin, scale, rate, number of groups
// or type.
absl::StatusOr<FaceHead> AddFaceHead(const FaceHeadConfig& config,
                                     ops::TensorId features,
                                     ops::TensorId labels,
                                     ops::GraphBuilder* builder);

}  // namespace facet::models

#endif  // FACET_MODELS_FACE_HEAD_H_
