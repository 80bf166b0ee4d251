// A weight and its momentum as kernels find them, each float32 or bfloat16: a
// loop that takes a step on them in float32. What is bfloat16 is rounded
// stochastically when it is written, and never lies in memory in float32.
#ifndef FACET_OPS_SGD_UPDATE_STORED_STATE_H_
#define FACET_OPS_SGD_UPDATE_STORED_STATE_H_

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "ops/elementwise.h"
#include "ops/half.h"
#include "ops/kernel.h"
#include "ops/sgd_update/rounding_stream.h"
#include "ops/stochastic_rounding.h"
#include "ops/visit_stored.h"

namespace facet::ops {

// Calls f(W{}, M{}) with the types of a weight and its momentum.
template <typename F>
decltype(auto) VisitState(const TensorView& weight, const TensorView& momentum,
                          F&& f) {
  return VisitStored(weight.dtype(), [&](auto w) -> decltype(auto) {
    return VisitStored(momentum.dtype(),
                       [&](auto m) -> decltype(auto) { return f(w, m); });
  });
}

// Stores a weight, or a momentum, rounded by the words of its elements where it
// has to be. Unaligned.
template <typename V, typename Random>
void StoreRounded(float* to, V value, const uint32_t*, const Random&) {
  Store<V>(to, value);
}

template <typename V, typename Random>
void StoreRounded(BFloat16* to, V value, const uint32_t* words,
                  const Random& random) {
  if constexpr (sizeof(V) == sizeof(float)) {
    const uint16_t bits = RoundStochastically(value, random(*words));
    std::memcpy(static_cast<void*>(to), &bits, sizeof(bits));
  } else {
    // RoundStochastically, eight at once.
    using Words = uint32_t __attribute__((vector_size(32)));
    Words word, bits;
    std::memcpy(&word, words, sizeof(word));
    std::memcpy(&bits, &value, sizeof(bits));
    const Words rounded = (bits + random(word)) >> 16;
    const __m256i is_nan =
        _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    const __m256i result =
        _mm256_blendv_epi8((__m256i)rounded, _mm256_set1_epi32(0x7FC0), is_nan);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm_packus_epi32(_mm256_castsi256_si128(result),
                                      _mm256_extracti128_si256(result, 1)));
  }
}

// Part of a weight and its momentum: adjacent elements, in memory and in the
// logical tensor.
template <typename W, typename M>
struct StateRun {
  W* weight = nullptr;
  M* momentum = nullptr;
  int64_t element = 0;  // In the logical tensor: of the first one.
  int64_t count = 0;
};

// For all elements i: step(&weight, &momentum, i), with floats or vectors of
// them (elementwise.h), and stores what that makes of them.
template <typename W, typename M, typename Step>
void UpdateState(const StateRun<W, M>& run, const RandomStream& rounding,
                 const Step& step) {
  constexpr bool kRounds =
      !std::is_same_v<W, float> || !std::is_same_v<M, float>;
  alignas(32) uint32_t words[kRoundingGroup];
  int64_t end = 0;
  for (int64_t begin = 0; begin < run.count; begin = end) {
    end = run.count;
    if constexpr (kRounds) {
      const int64_t first = run.element + begin;
      end = std::min(end, begin + kRoundingGroup - first % kRoundingGroup);
      FillRoundingWords(rounding, first, end - begin, words);
    }
    ForElements(begin, end, [&](auto v, int64_t i) {
      using V = decltype(v);
      V weight = Load<V>(run.weight + i);
      V momentum = Load<V>(run.momentum + i);
      step(&weight, &momentum, i);
      const uint32_t* word = words + (i - begin);
      StoreRounded<V>(run.weight + i, weight, word,
                      [](auto w) { return RandomOfWeight(w); });
      StoreRounded<V>(run.momentum + i, momentum, word,
                      [](auto w) { return RandomOfMomentum(w); });
    });
  }
}

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_STORED_STATE_H_
