// The factor that clips gradients, as torch.nn.utils.clip_grad_norm_ computes
// it, and that takes the loss scale off them.
#ifndef FACET_OPS_CLIP_CLIP_FACTOR_H_
#define FACET_OPS_CLIP_CLIP_FACTOR_H_

#include <cmath>

#include "ops/host_device.h"

namespace facet::ops {

// `square_norm`: of all gradients, which are `loss_scale` times too large.
// What is not a number stays so.
FACET_HOST_DEVICE inline float ClipFactor(float square_norm, float loss_scale,
                                          float max_norm) {
  const float norm = std::sqrt(square_norm) / loss_scale;
  const float factor = max_norm / (norm + 1e-6f);
  return (factor > 1 ? 1.0f : factor) / loss_scale;
}

}  // namespace facet::ops

#endif  // FACET_OPS_CLIP_CLIP_FACTOR_H_
