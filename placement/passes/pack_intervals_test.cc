#include "placement/passes/pack_intervals.h"

#include <algorithm>
#include <random>

#include "gtest/gtest.h"

namespace facet::placement {
namespace {

void ExpectLegal(const std::vector<Interval>& intervals,
                 const Packing& packing) {
  ASSERT_EQ(packing.offset.size(), intervals.size());
  int64_t height = 0;
  for (size_t i = 0; i < intervals.size(); ++i) {
    const Interval& a = intervals[i];
    ASSERT_GE(packing.offset[i], 0);
    height = std::max(height, packing.offset[i] + a.size);
    for (size_t j = 0; j < i; ++j) {
      const Interval& b = intervals[j];
      if (a.end < b.start || b.end < a.start) continue;
      ASSERT_TRUE(packing.offset[i] + a.size <= packing.offset[j] ||
                  packing.offset[j] + b.size <= packing.offset[i])
          << i << " and " << j << " overlap";
    }
  }
  EXPECT_EQ(packing.height, height);
  EXPECT_GE(packing.height, LiveBytes(intervals));
}

TEST(PackIntervals, Nothing) {
  EXPECT_EQ(PackIntervals({}).height, 0);
  EXPECT_EQ(PackIntervals({{64, 3, 3}}).height, 64);
}

TEST(PackIntervals, LiveBytesIsTheMostAtOneTime) {
  EXPECT_EQ(LiveBytes({{10, 0, 1}, {20, 1, 2}, {40, 3, 3}}), 40);
  EXPECT_EQ(LiveBytes({{10, 0, 1}, {20, 1, 2}, {40, 2, 3}}), 60);
}

TEST(PackIntervals, RandomLifetimes) {
  std::mt19937 random(11);
  double worst = 1;
  for (int round = 0; round < 60; ++round) {
    std::vector<Interval> intervals;
    const int n = 1 + random() % 150;
    for (int i = 0; i < n; ++i) {
      const int start = random() % 100;
      const int length = random() % (round % 2 == 0 ? 5 : 60);
      intervals.push_back({64 * (1 + static_cast<int64_t>(random() % 100)),
                           start, start + length});
    }
    const Packing packing = PackIntervals(intervals);
    ExpectLegal(intervals, packing);
    worst = std::max(
        worst, packing.height / static_cast<double>(LiveBytes(intervals)));
  }
  EXPECT_LT(worst, 1.15);
}

// Activations live from forward to backward, nested, and gradients come and
// go on the way back: as in training a residual network.
TEST(PackIntervals, TrainingFitsTightly) {
  std::vector<Interval> intervals;
  const int layers = 1200;
  std::mt19937 random(5);
  for (int i = 0; i < layers; ++i) {
    const int64_t size = int64_t{64} << (14 - i * 8 / layers);
    const int back = 2 * layers - 1 - i;
    intervals.push_back({size * (1 + i % 2), i, back});       // Kept.
    intervals.push_back({size, i, i + 1 + i % 3});            // Passing by.
    intervals.push_back({2 * size, back - 1, back + i % 3});  // Gradient.
    intervals.push_back({64, i, back + 1});                   // Statistics.
  }
  const Packing packing = PackIntervals(intervals);
  ExpectLegal(intervals, packing);
  EXPECT_LE(packing.height, 1.02 * LiveBytes(intervals));
}

// Three rules, each with an example that it alone does best.
TEST(PackGreedily, FollowsItsOrder) {
  auto height = [](const std::vector<Interval>& intervals, GreedyOrder order) {
    const Packing packing = PackGreedily(intervals, order);
    ExpectLegal(intervals, packing);
    return packing.height;
  };
  // Placed first, the long thin block lies at the bottom; else on the others.
  const std::vector<Interval> nested = {{64, 0, 9}, {128, 0, 4}, {192, 5, 9}};
  EXPECT_EQ(height(nested, GreedyOrder::kLifetime), 256);
  EXPECT_EQ(PackGreedily(nested, GreedyOrder::kLifetime).offset[0], 0);
  EXPECT_EQ(PackGreedily(nested, GreedyOrder::kSize).offset[2], 0);
  EXPECT_EQ(PackGreedily(nested, GreedyOrder::kSize).offset[0], 192);
  // An allocator takes what comes first and cannot move it.
  const std::vector<Interval> fragmented = {
      {64, 0, 1}, {64, 0, 5}, {128, 2, 5}};
  EXPECT_EQ(height(fragmented, GreedyOrder::kStart), 256);
  EXPECT_EQ(height(fragmented, GreedyOrder::kSize), 192);
}

}  // namespace
}  // namespace facet::placement
