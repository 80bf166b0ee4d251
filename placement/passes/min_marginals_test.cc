#include "placement/passes/min_marginals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace facet::placement {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// By trying all assignments.
std::vector<std::vector<double>> BruteForce(const PairwiseProblem& problem) {
  const size_t count = problem.unary.size();
  std::vector<std::vector<double>> least;
  for (const auto& unary : problem.unary) {
    least.emplace_back(unary.size(), kInfinity);
  }
  std::vector<size_t> label(count, 0);
  while (true) {
    double cost = 0;
    for (size_t v = 0; v < count; ++v) cost += problem.unary[v][label[v]];
    for (const auto& pair : problem.pairs) {
      cost += pair.cost[label[pair.a] * problem.unary[pair.b].size() +
                        label[pair.b]];
    }
    for (size_t v = 0; v < count; ++v) {
      least[v][label[v]] = std::min(least[v][label[v]], cost);
    }
    size_t v = 0;
    while (v < count && ++label[v] == problem.unary[v].size()) label[v++] = 0;
    if (v == count) return least;
  }
}

TEST(MinMarginalsTest, AgreesWithBruteForceOnRandomProblems) {
  std::mt19937 random(1);
  int infinite = 0;
  for (int trial = 0; trial < 400; ++trial) {
    PairwiseProblem problem;
    const int count = 1 + static_cast<int>(random() % 7);
    // Some labels and some pairs of labels are impossible.
    const unsigned forbidden = trial % 4 == 0 ? 30 : trial % 4 * 5;
    auto cost = [&] {
      return random() % 100 < forbidden ? kInfinity : random() % 1000 / 8.0;
    };
    for (int v = 0; v < count; ++v) {
      problem.unary.emplace_back(1 + random() % 3);
      std::generate(problem.unary[v].begin(), problem.unary[v].end(), cost);
    }
    const int pairs = static_cast<int>(random() % (2 * count));
    for (int p = 0; count > 1 && p < pairs; ++p) {
      PairwiseProblem::Pair pair;
      pair.a = static_cast<int>(random() % count);
      pair.b = static_cast<int>((pair.a + 1 + random() % (count - 1)) % count);
      pair.cost.resize(problem.unary[pair.a].size() *
                       problem.unary[pair.b].size());
      std::generate(pair.cost.begin(), pair.cost.end(), cost);
      problem.pairs.push_back(pair);
    }
    const auto expected = BruteForce(problem);
    const auto found = MinMarginals(problem);
    ASSERT_TRUE(found.has_value());
    ASSERT_EQ(found->size(), expected.size());
    for (int v = 0; v < count; ++v) {
      for (size_t l = 0; l < expected[v].size(); ++l) {
        infinite += std::isinf(expected[v][l]);
        if (std::isinf(expected[v][l])) {
          EXPECT_EQ((*found)[v][l], kInfinity) << trial;
        } else {
          EXPECT_NEAR((*found)[v][l], expected[v][l], 1e-9) << trial;
        }
      }
    }
  }
  EXPECT_GT(infinite, 100);
}

TEST(MinMarginalsTest, TheLeastOfEveryVariableIsTheMinimum) {
  std::mt19937 random(2);
  PairwiseProblem chain;
  for (int v = 0; v < 60; ++v) {
    chain.unary.push_back({random() % 64 / 8.0, random() % 64 / 8.0, 3});
    if (v == 0) continue;
    PairwiseProblem::Pair pair{v - 1, v, {}};
    for (int i = 0; i < 9; ++i) pair.cost.push_back(random() % 64 / 8.0);
    chain.pairs.push_back(pair);
  }
  const double minimum = Minimize(chain).cost;
  const auto marginals = MinMarginals(chain);
  ASSERT_TRUE(marginals.has_value());
  for (const std::vector<double>& labels : *marginals) {
    EXPECT_NEAR(*std::min_element(labels.begin(), labels.end()), minimum, 1e-9);
  }
}

// With a variable that meets all others, tables of two others and it are too
// large: they are made for one of its labels at a time.
TEST(MinMarginalsTest, AHubIsTakenLabelByLabel) {
  std::mt19937 random(3);
  constexpr int kCount = 44, kLabels = 10, kHubLabels = 4;
  PairwiseProblem problem;
  auto costs = [&](int count) {
    std::vector<double> values(count);
    for (double& value : values) value = random() % 64 / 8.0;
    return values;
  };
  for (int v = 0; v < kCount; ++v) {
    problem.unary.push_back(costs(kLabels));
    if (v > 0) problem.pairs.push_back({v - 1, v, costs(kLabels * kLabels)});
    problem.pairs.push_back({v, kCount, costs(kLabels * kHubLabels)});
  }
  problem.unary.push_back(costs(kHubLabels));
  // More than a table of two, less than one with the hub.
  const auto marginals = MinMarginals(problem, 300);
  ASSERT_TRUE(marginals.has_value());
  for (int v : {0, 17, kCount}) {
    for (size_t l = 0; l < problem.unary[v].size(); ++l) {
      PairwiseProblem pinned = problem;
      for (size_t other = 0; other < problem.unary[v].size(); ++other) {
        if (other != l) pinned.unary[v][other] = kInfinity;
      }
      EXPECT_NEAR((*marginals)[v][l], Minimize(pinned).cost, 1e-9);
    }
  }
}

TEST(MinMarginalsTest, SaysWhenItWouldBeTooLarge) {
  PairwiseProblem all;  // Everybody with everybody.
  for (int v = 0; v < 12; ++v) all.unary.push_back({0, 1, 2, 3});
  for (int a = 0; a < 12; ++a) {
    for (int b = 0; b < a; ++b) {
      all.pairs.push_back({a, b, std::vector<double>(16, 1)});
    }
  }
  EXPECT_FALSE(MinMarginals(all, 1000).has_value());
}

}  // namespace
}  // namespace facet::placement
