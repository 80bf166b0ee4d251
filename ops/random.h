// Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel
// random numbers: as easy as 1, 2, 3", SC'11). A number is a function of
// (seed, key, step, element of the logical tensor) and of nothing else, so a
// shard has the values of the whole, whatever the number of devices or threads.
//
// All arithmetic on floats is fmaf, sqrtf or exact, so that scalar code, vector
// code and GPUs give the same bits whether or not a compiler contracts a*b+c.
#ifndef FACET_OPS_RANDOM_H_
#define FACET_OPS_RANDOM_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "ops/host_device.h"

namespace facet::ops {

// One tensor's numbers in one step.
struct RandomStream {
  uint64_t seed = 0;  // Of the run.
  uint32_t key = 0;   // Tells apart the ops of a graph.
  uint32_t step = 0;
};

struct PhiloxBlock {
  uint32_t word[4];
};

// The bijection of the paper: 128 bits of counter to 128 random bits.
FACET_HOST_DEVICE inline PhiloxBlock Philox(uint64_t key, PhiloxBlock counter) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = counter.word[0], c1 = counter.word[1];
  uint32_t c2 = counter.word[2], c3 = counter.word[3];
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

// The words of elements 4 * block ... 4 * block + 3.
FACET_HOST_DEVICE inline PhiloxBlock RandomBlock(const RandomStream& stream,
                                                 uint64_t block) {
  return Philox(stream.seed, {{static_cast<uint32_t>(block),
                               static_cast<uint32_t>(block >> 32), stream.step,
                               stream.key}});
}

FACET_HOST_DEVICE inline uint32_t RandomWord(const RandomStream& stream,
                                             uint64_t element) {
  return RandomBlock(stream, element / 4).word[element % 4];
}

// Uniform in [0, 1), a multiple of 2^-24.
FACET_HOST_DEVICE inline float UniformFloat(uint32_t word) {
  return static_cast<float>(static_cast<int32_t>(word >> 8)) * 0x1p-24f;
}

// -2 log(u) for a u in [2^-32, 1] made of the word's upper 31 bits. Cephes'
// logf: 1 ulp or so.
FACET_HOST_DEVICE inline float MinusTwoLogUniform(uint32_t word) {
  const float u = fmaf(static_cast<float>(static_cast<int32_t>(word >> 1)),
                       0x1p-31f, 0x1p-32f);
  int32_t bits;
  memcpy(&bits, &u, sizeof(bits));
  // u = m * 2^exponent with m in [sqrt(1/2), sqrt(2)).
  constexpr int32_t kSqrtHalf = 0x3F3504F3;
  const int32_t exponent = (bits - kSqrtHalf) >> 23;
  const int32_t mantissa_bits = bits - exponent * (1 << 23);
  float m;
  memcpy(&m, &mantissa_bits, sizeof(m));
  const float e = static_cast<float>(exponent);
  const float x = m - 1;
  float p = 7.0376836292e-2f;
  p = fmaf(p, x, -1.1514610310e-1f);
  p = fmaf(p, x, 1.1676998740e-1f);
  p = fmaf(p, x, -1.2420140846e-1f);
  p = fmaf(p, x, 1.4249322787e-1f);
  p = fmaf(p, x, -1.6668057665e-1f);
  p = fmaf(p, x, 2.0000714765e-1f);
  p = fmaf(p, x, -2.4999993993e-1f);
  p = fmaf(p, x, 3.3333331174e-1f);
  // log(m) = x - x^2/2 + x^3 p; log(2) in two parts.
  const float square = x * x;
  float log = square * fmaf(x, p, -0.5f);
  log = fmaf(e, -2.12194440e-4f, log);
  log = fmaf(e, 0.693359375f, log + x);
  return -2 * log;
}

// The sine and cosine of pi * 2^-31 * word, word taken as signed.
FACET_HOST_DEVICE inline void SinCosWord(uint32_t word, float* sine,
                                         float* cosine) {
  // angle = quadrant * pi/2 + a with |a| <= pi/4, exact in integers.
  const uint32_t quadrant = (word + 0x20000000u) >> 30;
  const int32_t rest = static_cast<int32_t>(word - (quadrant << 30));
  const float a = static_cast<float>(rest) * 1.46291807926715968e-9f;
  const float z = a * a;
  float s = fmaf(z, -1.9515295891e-4f, 8.3321608736e-3f);
  s = fmaf(s, z, -1.6666654611e-1f);
  s = fmaf(s * z, a, a);
  float c = fmaf(z, 2.443315711809948e-5f, -1.388731625493765e-3f);
  c = fmaf(c, z, 4.166664568298827e-2f);
  c = fmaf(c * z, z, fmaf(z, -0.5f, 1.0f));
  // By a quarter turn: (s, c) -> (c, -s).
  uint32_t s_bits, c_bits;
  memcpy(&s_bits, &s, sizeof(s_bits));
  memcpy(&c_bits, &c, sizeof(c_bits));
  const uint32_t odd = 0u - (quadrant & 1);
  const uint32_t swap = (s_bits ^ c_bits) & odd;
  s_bits = (s_bits ^ swap) ^ ((quadrant & 2) << 30);
  c_bits = (c_bits ^ swap) ^ (((quadrant + 1) & 2) << 30);
  memcpy(sine, &s_bits, sizeof(s_bits));
  memcpy(cosine, &c_bits, sizeof(c_bits));
}

// Two independent normal numbers of mean 0 and variance 1 (Box-Muller) from
// two random words; at most 6.66 in size.
FACET_HOST_DEVICE inline void NormalPair(uint32_t word0, uint32_t word1,
                                         float* normal0, float* normal1) {
  const float radius = sqrtf(MinusTwoLogUniform(word0));
  float sine, cosine;
  SinCosWord(word1, &sine, &cosine);
  *normal0 = radius * cosine;
  *normal1 = radius * sine;
}

FACET_HOST_DEVICE inline float RandomNormal(const RandomStream& stream,
                                            uint64_t element) {
  const PhiloxBlock block = RandomBlock(stream, element / 4);
  const int pair = static_cast<int>(element % 4) / 2 * 2;
  float normal[2];
  NormalPair(block.word[pair], block.word[pair + 1], &normal[0], &normal[1]);
  return normal[element % 2];
}

}  // namespace facet::ops

#endif  // FACET_OPS_RANDOM_H_
