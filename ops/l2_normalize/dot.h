// Sum and Dot: sums over a row on a CPU.
#ifndef FACET_OPS_L2_NORMALIZE_DOT_H_
#define FACET_OPS_L2_NORMALIZE_DOT_H_

#include <cstdint>

#include "ops/elementwise.h"
#include "ops/float8.h"

namespace facet::ops {

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

#endif  // FACET_OPS_L2_NORMALIZE_DOT_H_
