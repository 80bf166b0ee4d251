// Float8: eight floats in one AVX register, loaded from and stored to any
// floating element type. For kernels whose loops the compiler would not
// vectorise by itself. A loop body that is a template of V runs with Float8
// and, for the rest of the loop, with plain float: both have Load, Store,
// Broadcast and the operators.
#ifndef FACET_OPS_FLOAT8_H_
#define FACET_OPS_FLOAT8_H_

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "ops/half.h"

namespace facet::ops {

// A GCC/Clang vector: + - * /, comparisons and ?: work by element.
using Float8 = float __attribute__((vector_size(32)));

// Unaligned.
template <typename V>
V Load(const float* from) {
  V value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

template <typename V>
V Load(const Float16* from) {
  if constexpr (sizeof(V) == sizeof(float)) {
    return static_cast<float>(*from);
  } else {
    return _mm256_cvtph_ps(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
}

template <typename V>
V Load(const BFloat16* from) {
  if constexpr (sizeof(V) == sizeof(float)) {
    return static_cast<float>(*from);
  } else {
    const __m256i bits = _mm256_cvtepu16_epi32(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
  }
}

// Unaligned; halves are rounded to nearest even.
template <typename V>
void Store(float* to, V value) {
  std::memcpy(to, &value, sizeof(value));
}

template <typename V>
void Store(Float16* to, V value) {
  if constexpr (sizeof(V) == sizeof(float)) {
    *to = static_cast<Float16>(value);
  } else {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
  }
}

template <typename V>
void Store(BFloat16* to, V value) {
  if constexpr (sizeof(V) == sizeof(float)) {
    *to = static_cast<BFloat16>(value);
  } else {
    const __m256i bits = _mm256_castps_si256(value);
    // Half a unit in the last place, less one if the kept part is even.
    const __m256i odd =
        _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(
        _mm256_add_epi32(bits,
                         _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))),
        16);
    // Rounding could carry a NaN into an infinity.
    const __m256i is_nan =
        _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    const __m256i words =
        _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), is_nan);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm_packus_epi32(_mm256_castsi256_si128(words),
                                      _mm256_extracti128_si256(words, 1)));
  }
}

template <typename V>
V Broadcast(float value) {
  if constexpr (sizeof(V) == sizeof(float)) {
    return value;
  } else {
    return _mm256_set1_ps(value);
  }
}

// 8 for Float8, 1 for float.
template <typename V>
inline constexpr int64_t kLanes = sizeof(V) / sizeof(float);

}  // namespace facet::ops

#endif  // FACET_OPS_FLOAT8_H_
