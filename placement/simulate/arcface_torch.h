// arcface_torch: the peer's training step as it executes it, as a plan for the
// simulator. Modelled after the code with which its authors measured 8 x
// V100-SXM2-32GB in August 2021 (github.com/deepinsight/insightface,
// benchmarks/train/nvidia_v100.md; recognition/arcface_torch of that month:
// train.py, partial_fc.py, losses.py, backbones/iresnet.py) on PyTorch 1.9:
//   - eager kernels, one host thread per device;
//   - `fp16` is autocast in the convolutional part of the backbone only: the
//     last linear layer and the whole head are float32, and so are the
//     gradients that DistributedDataParallel exchanges (there is no compression
//     hook at that time);
//   - its synthetic data set has the label 1 for every image: all positives
//     are on rank 0, which copies and corrects rows of logits that the other
//     ranks do not have, and all wait for it;
//   - Partial FC of version 1: samples by rand and topk on a stream of its own,
//     trains copies of the sampled rows, and writes them back.
#ifndef FACET_PLACEMENT_SIMULATE_ARCFACE_TORCH_H_
#define FACET_PLACEMENT_SIMULATE_ARCFACE_TORCH_H_

#include <cstdint>
#include <vector>

#include "placement/plan/plan.pb.h"
#include "placement/simulate/hardware.pb.h"

namespace facet::placement {

struct ArcfaceTorchRun {
  std::vector<int> layers = {3, 4, 14, 3};  // Blocks per stage: IResNet-50.
  int64_t classes = 0;
  int64_t batch_size = 0;  // Of all devices together.
  bool half = false;
  double sample_rate = 1;  // Of Partial FC; 1: all classes.
  int devices = 8;
  // As its synthetic data has it. False: each rank has its share of positives.
  bool all_labels_on_first = true;
};

// The plan shows two devices: the first, which has all positives, and one that
// stands for all others, which do the same at the same times. It has tasks and
// collectives but neither registers nor memory: it is for the simulator, not
// for the runtime. Requires devices >= 2 and a batch_size that they divide.
Plan ArcfaceTorchPlan(const Hardware& hardware, const ArcfaceTorchRun& run);

// Simulated.
double ArcfaceTorchSamplesPerSecond(const Hardware& hardware,
                                    const ArcfaceTorchRun& run);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_SIMULATE_ARCFACE_TORCH_H_
