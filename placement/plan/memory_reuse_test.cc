#include "placement/plan/memory_reuse.h"

#include <algorithm>
#include <random>
#include <set>
#include <utility>

#include "gtest/gtest.h"

namespace facet::placement {
namespace {

TEST(FindReuse, NeighboursInOrderAndTheWayBack) {
  // 0 and 2 at one address, 1 over the end of both.
  const std::vector<Reuse> found =
      FindReuse({{0, 128, 0}, {64, 256, 1}, {0, 128, 2}});
  // Address 0: 0 -> 2 -> 0; address 64: 0 -> 1 -> 2 -> 0; 128: 1 -> 1.
  auto has = [&](int a, int b, int steps) {
    return std::find(found.begin(), found.end(), Reuse{a, b, steps}) !=
           found.end();
  };
  EXPECT_TRUE(has(0, 1, 0));
  EXPECT_TRUE(has(1, 2, 0));
  EXPECT_TRUE(has(0, 2, 0));
  EXPECT_TRUE(has(2, 0, 1));
  EXPECT_TRUE(has(1, 1, 1));
}

TEST(FindReuse, TouchingIsNotOverlapping) {
  const std::vector<Reuse> found =
      FindReuse({{0, 64, 0}, {64, 128, 1}, {5, 5, 2}});
  EXPECT_EQ(found, (std::vector<Reuse>{{0, 0, 1}, {1, 1, 1}}));
}

// Every overlapping pair is reached by steps through neighbours.
TEST(FindReuse, CoversAllOverlaps) {
  std::mt19937 random(3);
  for (int round = 0; round < 100; ++round) {
    std::vector<MemorySpan> spans;
    for (int i = 0; i < 20; ++i) {
      const int64_t begin = random() % 30;
      spans.push_back({begin, begin + 1 + static_cast<int64_t>(random() % 10),
                       static_cast<int>(random() % 100)});
    }
    const std::vector<Reuse> found = FindReuse(spans);
    const int n = static_cast<int>(spans.size());
    std::vector<std::vector<bool>> before(n, std::vector<bool>(n, false));
    for (const Reuse& reuse : found) {
      if (reuse.steps == 0) before[reuse.earlier][reuse.later] = true;
    }
    for (int k = 0; k < n; ++k) {
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
          if (before[i][k] && before[k][j]) before[i][j] = true;
        }
      }
    }
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < i; ++j) {
        if (spans[i].begin < spans[j].end && spans[j].begin < spans[i].end) {
          EXPECT_TRUE(before[i][j] || before[j][i]);
        }
      }
    }
    EXPECT_LT(found.size(), 6 * spans.size());
  }
}

}  // namespace
}  // namespace facet::placement
