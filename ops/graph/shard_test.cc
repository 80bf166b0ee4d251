#include "ops/graph/shard.h"

#include "gtest/gtest.h"

namespace facet::ops {
namespace {

TEST(ShardRangeTest, FirstShardsGetOneMore) {
  EXPECT_EQ(ShardRange(10, 3, 0).begin, 0);
  EXPECT_EQ(ShardRange(10, 3, 0).end, 4);
  EXPECT_EQ(ShardRange(10, 3, 1).begin, 4);
  EXPECT_EQ(ShardRange(10, 3, 1).end, 7);
  EXPECT_EQ(ShardRange(10, 3, 2).begin, 7);
  EXPECT_EQ(ShardRange(10, 3, 2).end, 10);
}

// WebFace42M's identities: 2,059,906 = 8 * 257,488 + 2.
TEST(ShardRangeTest, RealClassCountOnEightDevices) {
  EXPECT_EQ(ShardRange(2059906, 8, 0).size(), 257489);
  EXPECT_EQ(ShardRange(2059906, 8, 1).size(), 257489);
  EXPECT_EQ(ShardRange(2059906, 8, 2).size(), 257488);
  EXPECT_EQ(ShardRange(2059906, 8, 2).begin, 514978);
  EXPECT_EQ(ShardRange(2059906, 8, 7).end, 2059906);
}

TEST(ShardRangeTest, RangesAreAdjacentAndCoverAll) {
  for (int64_t n = 0; n <= 40; ++n) {
    for (int k = 1; k <= 9; ++k) {
      int64_t next = 0;
      for (int rank = 0; rank < k; ++rank) {
        const Range range = ShardRange(n, k, rank);
        EXPECT_EQ(range.begin, next) << n << " / " << k << " rank " << rank;
        EXPECT_EQ(range.size(), n / k + (rank < n % k ? 1 : 0));
        next = range.end;
      }
      EXPECT_EQ(next, n);
    }
  }
}

TEST(ShardRangeTest, RankOutOfRangeIsABug) {
  EXPECT_DEATH(ShardRange(10, 3, 3), "rank 3 of 3");
  EXPECT_DEATH(ShardRange(10, 3, -1), "rank -1 of 3");
}

TEST(LocalRegionTest, SplitTakesARangeOfOneDimension) {
  const Region region = LocalRegion({4, 10, 6}, Sbp::S(1), 3, 1);
  EXPECT_EQ(region.offset, (Shape{0, 4, 0}));
  EXPECT_EQ(region.shape, (Shape{4, 3, 6}));
}

TEST(LocalRegionTest, BroadcastAndPartialHoldTheWhole) {
  for (const Sbp& sbp : {Sbp::B(), Sbp::PSum(), Sbp::PMax()}) {
    const Region region = LocalRegion({4, 10}, sbp, 3, 2);
    EXPECT_EQ(region.offset, (Shape{0, 0})) << sbp.ToString();
    EXPECT_EQ(region.shape, (Shape{4, 10})) << sbp.ToString();
  }
}

TEST(LocalRegionTest, ScalarsHaveNothingToSplit) {
  EXPECT_EQ(LocalRegion({}, Sbp::B(), 2, 1).shape, Shape());
  EXPECT_DEATH(LocalRegion({}, Sbp::S(0), 2, 1), "S\\(0\\) of \\[\\]");
}

TEST(IsShardableTest, NoDeviceMayBeEmpty) {
  EXPECT_TRUE(IsShardable({4, 3}, Sbp::S(0), 4));
  EXPECT_FALSE(IsShardable({4, 3}, Sbp::S(1), 4));
  EXPECT_FALSE(IsShardable({4, 3}, Sbp::S(2), 2));
  EXPECT_FALSE(IsShardable({}, Sbp::S(0), 2));
  EXPECT_TRUE(IsShardable({1}, Sbp::B(), 4));
  EXPECT_TRUE(IsShardable({}, Sbp::PSum(), 4));
}

}  // namespace
}  // namespace facet::ops
