// The formulas of l2_normalize by element and by row; cosine_linear normalises
// its class weights by them, too. The sums of a row: dot.h on CPUs.
//
//   y = x * inverse,  inverse = 1 / max(|x|, eps)
//   dx = inverse * (dy - y * projection),  projection = y . dy
// and projection = 0 where eps took the place of the norm.
#ifndef FACET_OPS_L2_NORMALIZE_NORMALIZE_H_
#define FACET_OPS_L2_NORMALIZE_NORMALIZE_H_

#include <cmath>

#include "ops/host_device.h"

namespace facet::ops {

// A row's norm, as its elements need it.
struct RowNorm {
  float inverse = 0;
  bool is_eps = false;
};

FACET_HOST_DEVICE inline RowNorm RowNormOf(float square_sum, float eps) {
  const float norm = std::sqrt(square_sum);
  // Not (norm > eps): a norm that is not a number shall show.
  return norm <= eps ? RowNorm{1 / eps, true} : RowNorm{1 / norm, false};
}

// dot = x . dy
FACET_HOST_DEVICE inline float Projection(RowNorm norm, float dot) {
  return norm.is_eps ? 0.0f : norm.inverse * dot;
}

template <typename V>
FACET_HOST_DEVICE V NormalizeGradient(V dy, V x, RowNorm norm,
                                      float projection) {
  return norm.inverse * (dy - (x * norm.inverse) * projection);
}

}  // namespace facet::ops

#endif  // FACET_OPS_L2_NORMALIZE_NORMALIZE_H_
