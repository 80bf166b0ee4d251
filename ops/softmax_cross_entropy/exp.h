// The exponential function, eight floats wide. Cephes' expf: 1 ulp or so.
#ifndef FACET_OPS_SOFTMAX_CROSS_ENTROPY_EXP_H_
#define FACET_OPS_SOFTMAX_CROSS_ENTROPY_EXP_H_

#include <cstdint>
#include <cstring>

#include "ops/float8.h"

namespace facet::ops {

// exp(-inf) = 0, exp(inf) = inf, exp(nan) = nan; results below 2^-126, the
// least normal float, are 0.
inline Float8 Exp(Float8 x) {
  using Int8 = int32_t __attribute__((vector_size(32)));
  const Float8 least = Broadcast<Float8>(-87.33654f);
  const Float8 most = Broadcast<Float8>(88.37626f);
  // Not a number becomes `least` here, so that it converts to an integer.
  Float8 r = x > least ? x : least;
  r = r < most ? r : most;
  // x = n log(2) + r; adding 1.5 * 2^23 rounds to an integer. log(2) is in two
  // parts, of which the first has few bits: n times it is exact.
  const Float8 rounder = Broadcast<Float8>(12582912.0f);
  const Float8 n = (r * 1.44269504088896341f + rounder) - rounder;
  r = r - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Float8 p = Broadcast<Float8>(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Int8 exponent = __builtin_convertvector(n, Int8);
  const Int8 bits = (exponent + 127) << 23;
  Float8 power;
  std::memcpy(&power, &bits, sizeof(power));
  Float8 result = p * power;
  result = x < least ? Float8{} : result;
  result = x > most ? Broadcast<Float8>(__builtin_inff()) : result;
  return x != x ? x : result;
}

// The same bits as any lane of the above.
inline float Exp(float x) { return Exp(Broadcast<Float8>(x))[0]; }

}  // namespace facet::ops

#endif  // FACET_OPS_SOFTMAX_CROSS_ENTROPY_EXP_H_
