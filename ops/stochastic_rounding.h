// Stochastic rounding to bfloat16: a number between two neighbours becomes the
// upper one with the probability of its distance from the lower one, in units
// of theirs. Its expectation is the number itself, so that steps too small to
// move a bfloat16 still move it on average: what SGD in 16 bits needs.
//
// The random bits are a function of (seed, key, step, element of the logical
// tensor) alone, as in random.h, but cheaper: Philox gives one word for a group
// of elements, and a hash spreads it over them.
#ifndef FACET_OPS_STOCHASTIC_ROUNDING_H_
#define FACET_OPS_STOCHASTIC_ROUNDING_H_

#include <cstdint>
#include <cstring>

#include "ops/random.h"

namespace facet::ops {

// Elements g * kRoundingGroup ... are group g.
inline constexpr int64_t kRoundingGroup = 256;

// The word of the lane-th element of a group. For each lane a bijection, so
// that all words are equally likely; the mixer is Wellons' "lowbias32" (Hash
// Function Prospector, 2018).
FACET_HOST_DEVICE inline uint32_t RoundingWordOfLane(uint32_t group_word,
                                                     uint32_t lane) {
  uint32_t x = group_word + lane * 0x9E3779B9u;
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

FACET_HOST_DEVICE inline uint32_t RoundingWord(const RandomStream& stream,
                                               uint64_t element) {
  return RoundingWordOfLane(RandomWord(stream, element / kRoundingGroup),
                            static_cast<uint32_t>(element % kRoundingGroup));
}

// out[i] = RoundingWord(stream, first + i) for i < count: of one group.
inline void FillRoundingWords(const RandomStream& stream, int64_t first,
                              int64_t count, uint32_t* out) {
  const uint32_t word =
      RandomWord(stream, static_cast<uint64_t>(first / kRoundingGroup));
  const uint32_t lane = static_cast<uint32_t>(first % kRoundingGroup);
  for (int64_t i = 0; i < count; ++i) {
    out[i] = RoundingWordOfLane(word, lane + static_cast<uint32_t>(i));
  }
}

// A weight takes the lower half of its element's word, its momentum the upper.
// Word: uint32_t, or a vector of them.
template <typename Word>
FACET_HOST_DEVICE inline Word RandomOfWeight(Word word) {
  return word & 0xFFFF;
}
template <typename Word>
FACET_HOST_DEVICE inline Word RandomOfMomentum(Word word) {
  return word >> 16;
}

// The bits of the bfloat16; `random` is in [0, 2^16). What is a bfloat16 stays
// as it is. Beyond the largest finite one comes infinity; NaN stays NaN.
FACET_HOST_DEVICE inline uint16_t RoundStochastically(float value,
                                                      uint32_t random) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  const bool is_nan = (bits & 0x7FFFFFFF) > 0x7F800000;
  return static_cast<uint16_t>(is_nan ? 0x7FC0 : (bits + random) >> 16);
}

}  // namespace facet::ops

#endif  // FACET_OPS_STOCHASTIC_ROUNDING_H_
