#include "ops/stochastic_rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "ops/half.h"

namespace facet::ops {
namespace {

float FromBits(uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

// Of x, all bfloat16 numbers have exactly as many random numbers as their
// distance from x says.
TEST(StochasticRoundingTest, ExpectationIsTheNumberItself) {
  for (float x : {1.0f, 1.001f, -0.3337f, 3e-39f, 12345.678f, -1e30f, 0.0f}) {
    double sum = 0;
    float low = std::numeric_limits<float>::infinity(), high = -low;
    for (uint32_t random = 0; random < 0x10000; ++random) {
      const float rounded = FromBits(RoundStochastically(x, random));
      sum += rounded;
      low = std::min(low, rounded);
      high = std::max(high, rounded);
    }
    EXPECT_NEAR(sum / 0x10000, x, 1e-12 * std::abs(x)) << x;
    EXPECT_LE(low, x);
    EXPECT_GE(high, x);
    EXPECT_LE(high - low, std::abs(x) / 64 + 1e-40) << "no neighbours";
  }
}

TEST(StochasticRoundingTest, WhatIsABFloat16StaysAndWhatIsNotANumberToo) {
  for (float x :
       {1.5f, -0.0f, 0x1p-120f, std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (uint32_t random : {0u, 1u, 0x8000u, 0xFFFFu}) {
      EXPECT_EQ(FromBits(RoundStochastically(x, random)), x);
    }
  }
  for (uint32_t nan_bits : {0x7FFFFFFFu, 0xFFFFFFFFu, 0x7F800001u}) {
    float nan;
    std::memcpy(&nan, &nan_bits, sizeof(nan));
    EXPECT_TRUE(std::isnan(FromBits(RoundStochastically(nan, 0xFFFF))));
  }
}

TEST(StochasticRoundingTest, WordsOfARunAreThoseOfItsElements) {
  const RandomStream stream = {5, 6, 7};
  for (int64_t first : {int64_t{0}, int64_t{250}, int64_t{1} << 40}) {
    const int64_t count = kRoundingGroup - first % kRoundingGroup;
    std::vector<uint32_t> words(count);
    FillRoundingWords(stream, first, count, words.data());
    for (int64_t i = 0; i < count; ++i) {
      ASSERT_EQ(words[i], RoundingWord(stream, first + i)) << first + i;
    }
  }
}

// Uniform, and independent of the neighbour in the group, of the same element
// in the next group and in the next step, and of the other half of the word:
// means of n uniform numbers deviate by sqrt(1 / 12 n), of n products of two
// centred ones by 1 / (12 sqrt(n)).
TEST(StochasticRoundingTest, WordsAreUniformAndIndependent) {
  constexpr int64_t kElements = 1 << 16;
  const RandomStream stream = {1, 2, 3}, next_step = {1, 2, 4};
  auto centred = [](uint32_t random) { return random / 0x1p16 - 0.5; };
  double mean_weight = 0, mean_momentum = 0;
  double with_momentum = 0, with_next = 0, with_group = 0, with_step = 0;
  int64_t upper_quarter = 0;
  for (int64_t e = 0; e < kElements; ++e) {
    const uint32_t word = RoundingWord(stream, e);
    const double w = centred(RandomOfWeight(word));
    const double m = centred(RandomOfMomentum(word));
    auto weight_of = [&](const RandomStream& s, int64_t element) {
      return centred(RandomOfWeight(RoundingWord(s, element)));
    };
    mean_weight += w;
    mean_momentum += m;
    with_momentum += w * m;
    with_next += w * weight_of(stream, e + 1);
    with_group += w * weight_of(stream, e + kRoundingGroup);
    with_step += w * weight_of(next_step, e);
    upper_quarter += w >= 0.25;
  }
  const double root = std::sqrt(static_cast<double>(kElements));
  for (double mean : {mean_weight, mean_momentum}) {
    EXPECT_LE(std::abs(mean) / kElements, 4 * std::sqrt(1.0 / 12) / root);
  }
  for (double product : {with_momentum, with_next, with_group, with_step}) {
    EXPECT_LE(std::abs(product) / kElements, 4.0 / 12 / root);
  }
  EXPECT_NEAR(static_cast<double>(upper_quarter) / kElements, 0.25,
              4 * std::sqrt(0.25 * 0.75) / root);
}

}  // namespace
}  // namespace facet::ops
