// The head of arcface_torch's step: PartialFC (version 1), its margin, its
// softmax over the classes of all ranks, and its SGD.
#ifndef FACET_PLACEMENT_SIMULATE_ARCFACE_TORCH_HEAD_H_
#define FACET_PLACEMENT_SIMULATE_ARCFACE_TORCH_HEAD_H_

#include "placement/simulate/arcface_torch.h"
#include "placement/simulate/eager_plan.h"

namespace facet::placement {

class ArcfaceTorchHead {
 public:
  // `positive_share`: the part of the images whose class is on this rank.
  ArcfaceTorchHead(const ArcfaceTorchRun& run, double positive_share,
                   EagerRank* rank);

  void ForwardBackward();  // partial_fc.py, forward_backward().
  void Update();           // The optimizer's step and the write-back.

 private:
  void Prepare();
  void Product(const std::string& name);
  void Margin();
  void Softmax();
  void Backward();
  // Collective of one value per image.
  void Reduce(const std::string& name);
  // A kernel that passes this often over the logits, or over the rows of them
  // that belong to images whose class is here.
  void Logits(const std::string& name, double passes);
  void PositiveRows(const std::string& name, double passes);
  void Weights(const std::string& name, double passes);

  const bool samples_;
  const int world_;
  const double images_;      // Of all ranks.
  const double all_rows_;    // Classes of this rank.
  const double rows_;        // Of them, those that take part.
  const double embeddings_;  // Bytes, of all images.
  EagerRank* const rank_;
  const double positive_share_;
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_SIMULATE_ARCFACE_TORCH_HEAD_H_
