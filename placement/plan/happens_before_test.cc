#include "placement/plan/happens_before.h"

#include "gtest/gtest.h"

namespace facet::placement {
namespace {

// Stream 0: a0 a1 a2; stream 1: b0 b1.
const std::vector<TaskPlace> kPlaces = {{0, 0}, {0, 0}, {0, 0}, {0, 1}, {0, 1}};
const std::vector<FiringEdge> kRings = {
    {0, 1, 0}, {1, 2, 0}, {2, 0, 1}, {3, 4, 0}, {4, 3, 1}};
const std::vector<int> kOrder = {0, 1, 2, 3, 4};

TEST(HappensBefore, StreamsOrderTheirOwnTasks) {
  const HappensBefore before(kPlaces, kRings, kOrder);
  EXPECT_TRUE(before.Implies({0, 2, 0}));
  EXPECT_FALSE(before.Implies({2, 0, 0}));
  EXPECT_TRUE(before.Implies({2, 0, 1}));
  EXPECT_FALSE(before.Implies({0, 3, 0}));
  EXPECT_FALSE(before.Implies({0, 3, 1}));
}

TEST(HappensBefore, EdgesCarryOverWithTheirTokens) {
  std::vector<FiringEdge> edges = kRings;
  edges.push_back({1, 3, 0});
  edges.push_back({4, 0, 1});
  const HappensBefore before(kPlaces, edges, kOrder);
  EXPECT_TRUE(before.Implies({0, 4, 0}));
  EXPECT_FALSE(before.Implies({2, 4, 0}));
  EXPECT_TRUE(before.Implies({2, 4, 1}));  // By a0 of the next step.
  EXPECT_TRUE(before.Implies({3, 1, 1}));
  EXPECT_FALSE(before.Implies({3, 1, 0}));
}

TEST(HappensBefore, TwoTokensAreNoHelp) {
  std::vector<FiringEdge> edges = kRings;
  edges.push_back({4, 0, 2});
  const HappensBefore before(kPlaces, edges, kOrder);
  EXPECT_FALSE(before.Implies({4, 0, 1}));
}

TEST(HappensBefore, AddsOnlyWhatIsMissing) {
  std::vector<FiringEdge> edges = kRings;
  edges.push_back({1, 3, 0});
  const HappensBefore before(
      kPlaces, edges, kOrder,
      {{0, 3, 0}, {1, 4, 0}, {0, 4, 0}, {2, 4, 0}, {3, 0, 1}, {4, 1, 1}});
  // {2, 4} covers the others of its stream; {4, 1} is not implied by {3, 0}.
  const std::vector<Ordering> expected = {{2, 4, 0}, {3, 0, 1}, {4, 1, 1}};
  EXPECT_EQ(before.added(), expected);
  EXPECT_TRUE(before.Implies({2, 4, 0}));
  EXPECT_TRUE(before.Implies({4, 2, 1}));
}

TEST(HappensBefore, DevicesDoNotKnowEachOther) {
  const HappensBefore before({{0, 0}, {1, 0}}, {{0, 0, 1}, {1, 1, 1}}, {0, 1});
  EXPECT_FALSE(before.Implies({0, 1, 1}));
}

}  // namespace
}  // namespace facet::placement
