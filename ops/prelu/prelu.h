// The formulas of PReLU by element.
#ifndef FACET_OPS_PRELU_PRELU_H_
#define FACET_OPS_PRELU_PRELU_H_

#include "ops/host_device.h"

namespace facet::ops {

// V: float, or a vector of floats.
template <typename V>
FACET_HOST_DEVICE V PreluValue(V x, V alpha) {
  return x > 0 ? x : x * alpha;
}

// By x.
template <typename V>
FACET_HOST_DEVICE V PreluGradient(V dy, V x, V alpha) {
  return x > 0 ? dy : dy * alpha;
}

// By alpha: what the element adds to it.
template <typename V>
FACET_HOST_DEVICE V PreluAlphaGradient(V dy, V x) {
  return x > 0 ? V{} : dy * x;
}

}  // namespace facet::ops

#endif  // FACET_OPS_PRELU_PRELU_H_
