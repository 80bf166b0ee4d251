#include "ops/random_batch.h"

#include <immintrin.h>

namespace facet::ops {
namespace {

constexpr int kBlocks = kRandomBatch / 4;

// Word by word rather than element by element: word j of block i belongs to
// element 4 * i + j, but vector registers want all first words, all second
// words ... together.
using Words = uint32_t[4][kBlocks];

// Philox of four blocks: each word in the low half of a 64-bit lane, where the
// multiplication wants it. What is in the high halves does not matter.
struct FourBlocks {
  __m256i word[4];
};

inline FourBlocks PhiloxOfFour(uint64_t key, FourBlocks counter) {
  const __m256i multiplier0 = _mm256_set1_epi64x(0xD2511F53);
  const __m256i multiplier1 = _mm256_set1_epi64x(0xCD9E8D57);
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  auto [c0, c1, c2, c3] = counter.word;
  for (int round = 0; round < 10; ++round) {
    const __m256i p0 = _mm256_mul_epu32(c0, multiplier0);
    const __m256i p1 = _mm256_mul_epu32(c2, multiplier1);
    const __m256i key0 = _mm256_set1_epi32(static_cast<int>(k0));
    const __m256i key1 = _mm256_set1_epi32(static_cast<int>(k1));
    c0 = _mm256_srli_epi64(p1, 32) ^ (c1 ^ key0);
    c2 = _mm256_srli_epi64(p0, 32) ^ (c3 ^ key1);
    c1 = p1;
    c3 = p0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

inline void FillWords(const RandomStream& stream, int64_t first, Words& words) {
  const uint64_t block = static_cast<uint64_t>(first) / 4;
  // The batch is aligned, so adding to the low half never carries.
  FourBlocks even = {{_mm256_set1_epi64x(static_cast<int64_t>(block)) +
                          _mm256_set_epi64x(6, 4, 2, 0),
                      _mm256_set1_epi64x(static_cast<int64_t>(block >> 32)),
                      _mm256_set1_epi64x(stream.step),
                      _mm256_set1_epi64x(stream.key)}};
  for (int i = 0; i < kBlocks; i += 8) {
    FourBlocks odd = even;
    odd.word[0] += _mm256_set1_epi64x(1);
    const FourBlocks a = PhiloxOfFour(stream.seed, even);
    const FourBlocks b = PhiloxOfFour(stream.seed, odd);
    for (int j = 0; j < 4; ++j) {
      const __m256i in_order =
          _mm256_blend_epi32(a.word[j], _mm256_slli_epi64(b.word[j], 32), 0xAA);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(&words[j][i]), in_order);
    }
    even.word[0] += _mm256_set1_epi64x(8);
  }
}

}  // namespace

void FillRandomBatch(const RandomStream& stream, int64_t first, uint32_t* out) {
  Words words;
  FillWords(stream, first, words);
#pragma omp simd
  for (int i = 0; i < kBlocks; ++i) {
    out[4 * i] = words[0][i];
    out[4 * i + 1] = words[1][i];
    out[4 * i + 2] = words[2][i];
    out[4 * i + 3] = words[3][i];
  }
}

void FillUniformBatch(const RandomStream& stream, int64_t first, float low,
                      float width, float* out) {
  uint32_t words[kRandomBatch];
  FillRandomBatch(stream, first, words);
#pragma omp simd
  for (int i = 0; i < kRandomBatch; ++i) {
    out[i] = fmaf(UniformFloat(words[i]), width, low);
  }
}

void FillNormalBatch(const RandomStream& stream, int64_t first, float mean,
                     float stddev, float* out) {
  Words words;
  FillWords(stream, first, words);
#pragma omp simd
  for (int i = 0; i < kBlocks; ++i) {
    float normal[4];
    NormalPair(words[0][i], words[1][i], &normal[0], &normal[1]);
    NormalPair(words[2][i], words[3][i], &normal[2], &normal[3]);
    out[4 * i] = fmaf(normal[0], stddev, mean);
    out[4 * i + 1] = fmaf(normal[1], stddev, mean);
    out[4 * i + 2] = fmaf(normal[2], stddev, mean);
    out[4 * i + 3] = fmaf(normal[3], stddev, mean);
  }
}

}  // namespace facet::ops
