// Dot: the scalar product of two rows on a CPU.
#ifndef FACET_OPS_L2_NORMALIZE_DOT_H_
#define FACET_OPS_L2_NORMALIZE_DOT_H_

#include <cstdint>

#include "ops/float8.h"

namespace facet::ops {

// a . b; the order of the additions depends on n alone.
inline float Dot(const float* a, const float* b, int64_t n) {
  Float8 sums[4] = {};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    for (int u = 0; u < 4; ++u) {
      sums[u] += Load<Float8>(a + i + 8 * u) * Load<Float8>(b + i + 8 * u);
    }
  }
  for (; i + 8 <= n; i += 8)
    sums[0] += Load<Float8>(a + i) * Load<Float8>(b + i);
  const Float8 sum8 = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float sum = ((sum8[0] + sum8[1]) + (sum8[2] + sum8[3])) +
              ((sum8[4] + sum8[5]) + (sum8[6] + sum8[7]));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace facet::ops

#endif  // FACET_OPS_L2_NORMALIZE_DOT_H_
