#include "ops/random.h"

#include <cmath>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "ops/random_batch.h"

namespace facet::ops {
namespace {

void ExpectBlock(const PhiloxBlock& got, std::vector<uint32_t> want) {
  EXPECT_EQ(std::vector<uint32_t>(got.word, got.word + 4), want);
}

// From the known-answer file of the paper's library, Random123.
TEST(PhiloxTest, KnownAnswers) {
  ExpectBlock(Philox(0, {{0, 0, 0, 0}}),
              {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  ExpectBlock(Philox(0xffffffffffffffff,
                     {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}),
              {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  ExpectBlock(Philox(0x299f31d0a4093822,
                     {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}),
              {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(RandomTest, EveryPartOfTheStreamMatters) {
  const RandomStream base = {1, 2, 3};
  std::set<uint32_t> words;
  for (const RandomStream& stream :
       {base, RandomStream{2, 2, 3}, RandomStream{uint64_t{1} << 40 | 1, 2, 3},
        RandomStream{1, 3, 3}, RandomStream{1, 2, 4}}) {
    // The last two differ in the counter's high half only.
    for (uint64_t element : {0ull, 1ull, 4ull, 1ull << 34, 1ull << 35}) {
      words.insert(RandomWord(stream, element));
    }
  }
  EXPECT_EQ(words.size(), 25u);
}

TEST(RandomTest, UniformFloatCoversTheHalfOpenInterval) {
  EXPECT_EQ(UniformFloat(0), 0.0f);
  EXPECT_EQ(UniformFloat(0x80000000), 0.5f);
  EXPECT_EQ(UniformFloat(0xffffffff), 1 - 0x1p-24f);
}

TEST(RandomTest, LogarithmIsAccurate) {
  double worst = 0;
  for (uint64_t word = 0; word < (uint64_t{1} << 32); word += 4099) {
    const double u = static_cast<double>(
        fmaf(static_cast<float>(word >> 1), 0x1p-31f, 0x1p-32f));
    const double want = -2 * std::log(u);
    const double got = MinusTwoLogUniform(static_cast<uint32_t>(word));
    EXPECT_GE(got, 0);
    worst = std::max(worst, std::abs(got - want) / std::max(want, 1e-30));
  }
  EXPECT_LT(worst, 2e-7);
  // The ends: 2^-32 and 1.
  EXPECT_NEAR(MinusTwoLogUniform(0), 64 * std::log(2.0), 1e-5);
  EXPECT_EQ(MinusTwoLogUniform(0xffffffff), 0);
}

TEST(RandomTest, SineAndCosineAreAccurateInAllQuadrants) {
  double worst = 0;
  for (uint64_t word = 0; word < (uint64_t{1} << 32); word += 4099) {
    float sine, cosine;
    SinCosWord(static_cast<uint32_t>(word), &sine, &cosine);
    const double angle =
        M_PI * 0x1p-31 * static_cast<int32_t>(static_cast<uint32_t>(word));
    worst = std::max({worst, std::abs(sine - std::sin(angle)),
                      std::abs(cosine - std::cos(angle))});
  }
  EXPECT_LT(worst, 2e-7);
}

TEST(RandomTest, BatchesHaveTheElementsValues) {
  const RandomStream stream = {0x123456789abcdef, 77, 0xffffffff};
  // The second begins where the low counter word is about to wrap around.
  for (int64_t first : {int64_t{0}, (int64_t{1} << 34) - kRandomBatch}) {
    uint32_t words[2 * kRandomBatch];
    float normals[2 * kRandomBatch];
    for (int batch : {0, kRandomBatch}) {
      FillRandomBatch(stream, first + batch, words + batch);
      FillNormalBatch(stream, first + batch, 0.5f, 2.0f, normals + batch);
    }
    for (int e = 0; e < 2 * kRandomBatch; ++e) {
      EXPECT_EQ(words[e], RandomWord(stream, first + e)) << e;
      EXPECT_EQ(normals[e], fmaf(RandomNormal(stream, first + e), 2.0f, 0.5f))
          << e;
    }
  }
}

TEST(RandomTest, AnyRangeIsCutOutOfTheBatches) {
  const RandomStream stream = {5, 6, 7};
  auto batch = [&](int64_t first, uint32_t* out) {
    FillRandomBatch(stream, first, out);
  };
  for (int64_t begin : {0, 1, 127, 128, 130}) {
    for (int64_t count : {1, 2, 127, 128, 129, 400}) {
      std::vector<uint32_t> words(count + 1, 42);
      ForRandomBatches(begin, count, batch, words.data());
      for (int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(words[i], RandomWord(stream, begin + i)) << begin << " " << i;
      }
      EXPECT_EQ(words[count], 42u) << "written past the end";
    }
  }
}

TEST(RandomTest, NormalNumbersHaveTheMomentsOfTheNormalDistribution) {
  constexpr int64_t kCount = 1 << 20;
  std::vector<float> x(kCount);
  const RandomStream stream = {42, 1, 0};
  ForRandomBatches(
      0, kCount,
      [&](int64_t first, float* out) {
        FillNormalBatch(stream, first, 0, 1, out);
      },
      x.data());
  double sum = 0, square = 0, cube = 0, fourth = 0, neighbour = 0, pair = 0;
  int64_t beyond_two = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    const double v = x[i];
    sum += v;
    square += v * v;
    cube += v * v * v;
    fourth += v * v * v * v;
    if (i > 0) neighbour += v * x[i - 1];
    // Sine and cosine of one pair share their radius.
    if (i % 2 == 1) pair += (v * v - 1) * (x[i - 1] * x[i - 1] - 1.0);
    beyond_two += std::abs(v) > 2;
  }
  // Five standard errors each.
  const double error = 5 / std::sqrt(static_cast<double>(kCount));
  EXPECT_NEAR(sum / kCount, 0, error);
  EXPECT_NEAR(square / kCount, 1, error * std::sqrt(2.0));
  EXPECT_NEAR(cube / kCount, 0, error * std::sqrt(15.0));
  EXPECT_NEAR(fourth / kCount, 3, error * std::sqrt(96.0));
  EXPECT_NEAR(neighbour / kCount, 0, error);
  EXPECT_NEAR(pair / kCount, 0, error * 2);
  EXPECT_NEAR(static_cast<double>(beyond_two) / kCount, 0.0455003,
              error * 0.21);
}

}  // namespace
}  // namespace facet::ops
