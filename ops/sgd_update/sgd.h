// The step of SGD with momentum and weight decay for one weight, as
// torch.optim.SGD takes it (dampening 0, no Nesterov); cosine_linear_sgd takes
// it, too.
#ifndef FACET_OPS_SGD_UPDATE_SGD_H_
#define FACET_OPS_SGD_UPDATE_SGD_H_

#include "ops/host_device.h"

namespace facet::ops {

struct SgdStep {
  float learning_rate = 1;
  float gradient_scale = 1;
  float momentum = 0;
  float weight_decay = 0;

  // V: float, or a vector of floats.
  template <typename V>
  FACET_HOST_DEVICE void operator()(V* weight, V* velocity, V gradient) const {
    const V g = gradient * gradient_scale + *weight * weight_decay;
    *velocity = *velocity * momentum + g;
    *weight -= *velocity * learning_rate;
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_SGD_H_
