// The formulas of l2_normalize by element and by row; cosine_linear normalises
// its class weights by them, too.
//
//   y = x * inverse,  inverse = 1 / max(|x|, eps)
//   dx = inverse * (dy - y * projection),  projection = y . dy
// and projection = 0 where eps took the place of the norm.
#ifndef FACET_OPS_L2_NORMALIZE_NORMALIZE_H_
#define FACET_OPS_L2_NORMALIZE_NORMALIZE_H_

#include <cmath>
#include <cstdint>

#include "ops/float8.h"

namespace facet::ops {

// A row's norm, as its elements need it.
struct RowNorm {
  float inverse = 0;
  bool is_eps = false;
};

inline RowNorm RowNormOf(float square_sum, float eps) {
  const float norm = std::sqrt(square_sum);
  // Not (norm > eps): a norm that is not a number shall show.
  return norm <= eps ? RowNorm{1 / eps, true} : RowNorm{1 / norm, false};
}

// dot = x . dy
inline float Projection(RowNorm norm, float dot) {
  return norm.is_eps ? 0.0f : norm.inverse * dot;
}

template <typename V>
V NormalizeGradient(V dy, V x, RowNorm norm, float projection) {
  return norm.inverse * (dy - (x * norm.inverse) * projection);
}

// The sum of term(V{}, i), elements [i, i + lanes of V), over [0, n); the order
// of the additions depends on n alone.
template <typename Term>
float Sum(int64_t n, const Term& term) {
  Float8 sums[4] = {};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    for (int u = 0; u < 4; ++u) sums[u] += term(Float8{}, i + 8 * u);
  }
  for (; i + 8 <= n; i += 8) sums[0] += term(Float8{}, i);
  const Float8 sum8 = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float sum = ((sum8[0] + sum8[1]) + (sum8[2] + sum8[3])) +
              ((sum8[4] + sum8[5]) + (sum8[6] + sum8[7]));
  for (; i < n; ++i) sum += term(float{}, i);
  return sum;
}

// a . b, of any floating types.
template <typename A, typename B>
float Dot(const A* a, const B* b, int64_t n) {
  return Sum(n, [=](auto v, int64_t i) {
    using V = decltype(v);
    return Load<V>(a + i) * Load<V>(b + i);
  });
}

}  // namespace facet::ops

#endif  // FACET_OPS_L2_NORMALIZE_NORMALIZE_H_
