#include "placement/simulate/arcface_torch_head.h"

#include <cmath>
#include <string>

namespace facet::placement {
namespace {

constexpr double kFloat = 4;        // Bytes.
constexpr double kEmbedding = 512;  // Elements.

}  // namespace

ArcfaceTorchHead::ArcfaceTorchHead(const ArcfaceTorchRun& run,
                                   double positive_share, EagerRank* rank)
    : samples_(run.sample_rate < 1),
      world_(run.devices),
      images_(static_cast<double>(run.batch_size)),
      all_rows_(
          static_cast<double>((run.classes + run.devices - 1) / run.devices)),
      rows_(std::floor(run.sample_rate * all_rows_)),
      embeddings_(images_ * kEmbedding * kFloat),
      rank_(rank),
      positive_share_(positive_share) {}

void ArcfaceTorchHead::Logits(const std::string& name, double passes) {
  rank_->Move(name, passes * images_ * rows_ * kFloat);
}

void ArcfaceTorchHead::PositiveRows(const std::string& name, double passes) {
  rank_->Move(name, positive_share_ * passes * images_ * rows_ * kFloat);
}

void ArcfaceTorchHead::Weights(const std::string& name, double passes) {
  rank_->Move(name, passes * rows_ * kEmbedding * kFloat);
}

void ArcfaceTorchHead::Reduce(const std::string& name) {
  rank_->Join(rank_->Collect(name, Collective::ALL_REDUCE,
                             2 * images_ * kFloat * (world_ - 1) / world_));
}

void ArcfaceTorchHead::Product(const std::string& name) {
  rank_->Run({name, embeddings_ + rows_ * (kEmbedding + images_) * kFloat,
              2 * images_ * rows_ * kEmbedding, Arithmetic::kMatmul});
}

// prepare() and sample(), on the stream of their own.
void ArcfaceTorchHead::Prepare() {
  rank_->SetStream("prepare");
  rank_->Join(rank_->Collect("labels", Collective::ALL_GATHER,
                             images_ * 8 * (world_ - 1) / world_));
  rank_->Move("label range", images_ * 8 * 4);
  rank_->Synchronize();  // A mask as an index: how many are set?
  rank_->Move("local labels", images_ * 8 * 4);
  rank_->Synchronize();
  if (samples_) {
    rank_->Move("unique", images_ * 8 * 10);
    rank_->Synchronize();
    rank_->Move("rand", all_rows_ * kFloat);
    rank_->Move("positives", images_ * kFloat);
    // Radix select: passes over one row of values, then a sort of what is
    // taken.
    rank_->Move("topk", all_rows_ * kFloat * 9 + rows_ * 12);
    rank_->Move("sort", rows_ * 8 * 10);
    rank_->Move("searchsorted", images_ * 8 * 2);
    Weights("gather weight", 2);
    Weights("gather momentum", 2);
  }
  Weights("normalize.norm", 1);
  rank_->Move("normalize.clamp", rows_ * kFloat * 2);
  Weights("normalize.div", 2);
  rank_->SetStream("compute");
}

// losses.py, ArcFace: in place on the logits; what autograd needs of a value
// that is overwritten it copies first.
void ArcfaceTorchHead::Margin() {
  rank_->Move("where", images_ * 8);
  rank_->Synchronize();
  PositiveRows("m_hot", 1);
  rank_->Move("m_hot.scatter", images_ * kFloat * 2);
  Logits("acos.saved", 2);
  Logits("acos", 2);
  PositiveRows("cosine[index]", 2);
  PositiveRows("cosine[index] + m_hot", 3);
  PositiveRows("cosine[index] =", 2);
  Logits("cos.saved", 2);
  Logits("cos", 2);
  Logits("scale", 2);
}

void ArcfaceTorchHead::Softmax() {
  Logits("max", 1);
  Reduce("max over ranks");
  Logits("logits - max", 2);
  Logits("exp", 2);
  Logits("sum", 1);
  Reduce("sum over ranks");
  Logits("div", 2);
  rank_->Move("where", images_ * 8);
  rank_->Synchronize();
  PositiveRows("one_hot", 1);
  rank_->Move("one_hot.scatter", images_ * kFloat * 2);
  PositiveRows("grad[index]", 2);
  rank_->Move("gather", images_ * kFloat * 4);
  Reduce("loss over ranks");
  rank_->Move("log", images_ * kFloat * 6);
  PositiveRows("grad[index]", 2);
  PositiveRows("grad[index] - one_hot", 3);
  PositiveRows("grad[index] =", 2);
  Logits("grad / batch", 2);
}

// Autograd through margin, product and normalize.
void ArcfaceTorchHead::Backward() {
  Logits("scale.backward", 2);
  // grad * -sin(x).
  Logits("cos.backward", 2 + 2 + 3);
  // The index assignment: a copy with zeros there; and the rows.
  Logits("index_put.backward", 2);
  PositiveRows("index_put.zero", 1);
  PositiveRows("index_put.rows", 2);
  Logits("index.backward.zeros", 1);
  PositiveRows("index.backward", 3);
  Logits("index.backward.add", 3);
  // grad * -rsqrt(-x * x + 1).
  Logits("acos.backward", 2 + 3 + 2 + 2 + 2 + 3);
  Product("logits.by_weight");
  Product("logits.by_features");
  // x / norm: gradient of x; of the norm: -g * ((x / n) / n), summed; through
  // the norm, and the sum of both.
  Weights("normalize.backward.self", 2);
  Weights("normalize.backward.other", 2 + 2 + 2 + 3 + 1);
  Weights("normalize.backward.norm", 2);
  Weights("normalize.backward.add", 3);
  // A sampled weight is a new parameter: it takes the gradient as it is.
  if (!samples_) Weights("accumulate", 3);
}

void ArcfaceTorchHead::ForwardBackward() {
  rank_->SetPart("head", "forward");
  Prepare();
  rank_->Move("features.zeros", embeddings_);
  rank_->Join(rank_->Collect("features", Collective::ALL_GATHER,
                             embeddings_ * (world_ - 1) / world_));
  rank_->JoinStream("prepare");
  Product("logits");
  Margin();
  Softmax();
  rank_->SetPart("head", "backward");
  Backward();
  rank_->Join(rank_->Collect("features.gradient", Collective::REDUCE_SCATTER,
                             embeddings_ * (world_ - 1) / world_));
  rank_->Move("features.scale", 2 * embeddings_ / world_);
}

void ArcfaceTorchHead::Update() {
  rank_->SetPart("head", "optimizer");
  Weights("decay", 3);
  Weights("momentum", 2);
  Weights("gradient", 3);
  Weights("weight", 3);
  if (samples_) {
    Weights("write back momentum", 2);
    Weights("write back weight", 2);
  }
  Weights("zero", 1);
}

}  // namespace facet::placement
