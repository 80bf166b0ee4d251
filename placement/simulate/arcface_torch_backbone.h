// The backbone of arcface_torch's step: IResNet under autocast and
// DistributedDataParallel, the clipping of its gradient, and its SGD.
#ifndef FACET_PLACEMENT_SIMULATE_ARCFACE_TORCH_BACKBONE_H_
#define FACET_PLACEMENT_SIMULATE_ARCFACE_TORCH_BACKBONE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "placement/simulate/eager_plan.h"

namespace facet::placement {

class ArcfaceTorchBackbone {
 public:
  // `batch`: images of this rank. `rank` is not owned.
  ArcfaceTorchBackbone(const std::vector<int>& layers, int64_t batch, bool half,
                       int world, EagerRank* rank);

  void Forward();
  // With the exchange of gradients by buckets, while the backward goes on.
  void Backward();
  // Loss scale, norm of the gradient, SGD, zeroed gradients.
  void Update();

  int64_t parameters() const;

 private:
  struct Layer {
    enum class Kind { kConvolution, kBatchNorm, kPRelu, kAdd, kLinear };
    Kind kind = Kind::kAdd;
    std::string name;
    double in = 0, out = 0;  // Elements of one image's input and output.
    double flops = 0;        // Forward, of one image.
    std::vector<int64_t> parameters;  // Elements of each.
    bool reads_image = false;         // Its input needs no gradient.
  };

  void AddConvolution(const std::string& name, int64_t in_channels,
                      int64_t in_side, int64_t out_channels, int64_t kernel,
                      int64_t stride);
  void AddBlock(const std::string& name, int64_t in_channels, int64_t in_side,
                int64_t channels, int64_t stride);
  void AddElementwise(Layer::Kind kind, const std::string& name,
                      double elements, std::vector<int64_t> parameters);
  void ForwardOf(const Layer& layer);
  void BackwardOf(const Layer& layer);
  void Exchange(int64_t elements);
  // Bytes of the activations of all images of this rank.
  double Bytes(double elements_per_image) const;

  const int64_t batch_;
  const bool half_;
  const int world_;
  EagerRank* const rank_;
  std::vector<Layer> layers_;
  // Of the current bucket of gradients.
  double bucket_bytes_ = 0;
  double bucket_limit_bytes_ = 0;
  std::vector<int> exchanges_;
  double last_exchanged_bytes_ = 0;
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_SIMULATE_ARCFACE_TORCH_BACKBONE_H_
