#include "placement/passes/elimination.h"

#include <algorithm>
#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "placement/passes/possible_labels.h"

namespace facet::placement {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double Cost(const PairwiseProblem& problem, const std::vector<int>& label) {
  double cost = 0;
  for (size_t v = 0; v < label.size(); ++v) {
    cost += problem.unary[v][label[v]];
  }
  for (const PairwiseProblem::Pair& pair : problem.pairs) {
    cost +=
        pair.cost[label[pair.a] * problem.unary[pair.b].size() + label[pair.b]];
  }
  return cost;
}

// Tries everything.
double BruteForce(const PairwiseProblem& problem) {
  std::vector<int> label(problem.unary.size(), 0);
  double best = kInfinity;
  for (;;) {
    best = std::min(best, Cost(problem, label));
    size_t v = 0;
    while (v < label.size() &&
           ++label[v] == static_cast<int>(problem.unary[v].size())) {
      label[v++] = 0;
    }
    if (v == label.size()) return best;
  }
}

PairwiseProblem RandomProblem(std::mt19937* random) {
  auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(*random);
  };
  // Some combinations are forbidden, as in real graphs.
  auto cost = [&] { return pick(0, 9) == 0 ? kInfinity : pick(0, 100); };
  PairwiseProblem problem;
  const int count = pick(1, 7);
  for (int v = 0; v < count; ++v) {
    std::vector<double> unary(pick(1, 4));
    for (double& c : unary) c = pick(0, 100);
    problem.unary.push_back(unary);
  }
  for (int e = pick(0, 2 * count); count > 1 && e > 0; --e) {
    const int a = pick(0, count - 1);
    const int b = (a + pick(1, count - 1)) % count;
    PairwiseProblem::Pair pair{a, b, {}};
    pair.cost.resize(problem.unary[a].size() * problem.unary[b].size());
    for (double& c : pair.cost) c = cost();
    problem.pairs.push_back(std::move(pair));
  }
  return problem;
}

TEST(EliminationTest, FindsWhatBruteForceFinds) {
  std::mt19937 random(1);
  int solvable = 0;
  for (int round = 0; round < 500; ++round) {
    const PairwiseProblem problem = RandomProblem(&random);
    const PairwiseSolution solution = Minimize(problem);
    const double best = BruteForce(problem);
    ASSERT_EQ(solution.cost, best) << "round " << round;
    ASSERT_EQ(solution.lower_bound, best) << "round " << round;
    if (best == kInfinity) continue;
    ++solvable;
    ASSERT_EQ(Cost(problem, solution.label), best) << "round " << round;
  }
  EXPECT_GT(solvable, 300);
}

// Few different tables, which many variables have in common, in other roles.
TEST(EliminationTest, EqualTablesInOtherPlaces) {
  std::mt19937 random(4);
  auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  for (int round = 0; round < 2000; ++round) {
    PairwiseProblem problem;
    std::vector<std::vector<double>> tables(2, std::vector<double>(4));
    for (std::vector<double>& table : tables) {
      for (double& c : table) c = pick(0, 3);
    }
    const int count = pick(3, 9);
    for (int v = 0; v < count; ++v) problem.unary.push_back({0, 1});
    for (int e = pick(count, 2 * count); e > 0; --e) {
      const int a = pick(0, count - 1);
      const int b = (a + pick(1, count - 1)) % count;
      problem.pairs.push_back({a, b, tables[pick(0, 1)]});
    }
    const PairwiseSolution solution = Minimize(problem);
    const double best = BruteForce(problem);
    ASSERT_EQ(solution.cost, best) << "round " << round;
    ASSERT_EQ(solution.lower_bound, best) << "round " << round;
    ASSERT_EQ(Cost(problem, solution.label), best) << "round " << round;
  }
}

TEST(EliminationTest, WithSmallTablesTheBoundStaysBelowAndTheCostAbove) {
  std::mt19937 random(2);
  int inexact = 0;
  for (int round = 0; round < 300; ++round) {
    const PairwiseProblem problem = RandomProblem(&random);
    const PairwiseSolution solution = Minimize(problem, /*max_table=*/2);
    const double best = BruteForce(problem);
    ASSERT_GE(solution.cost, best) << "round " << round;
    ASSERT_LE(solution.lower_bound, best) << "round " << round;
    inexact += solution.cost != solution.lower_bound ? 1 : 0;
  }
  EXPECT_GT(inexact, 10);  // The limit was felt.
}

// A hub with many spokes and a chain through them: a naive order would need a
// table over all spokes.
TEST(EliminationTest, HubsAndLongChainsAreExact) {
  std::mt19937 random(3);
  constexpr int kSpokes = 300, kLabels = 3;
  PairwiseProblem problem;
  auto random_cost = [&] {
    return static_cast<double>(std::uniform_int_distribution<>(0, 9)(random));
  };
  for (int v = 0; v <= kSpokes; ++v) {
    problem.unary.emplace_back(kLabels);
    for (double& c : problem.unary.back()) c = random_cost();
  }
  for (int v = 1; v <= kSpokes; ++v) {
    for (int other : {0, v + 1}) {
      if (other > kSpokes) continue;
      PairwiseProblem::Pair pair{v, other, std::vector<double>(9)};
      for (double& c : pair.cost) c = random_cost();
      problem.pairs.push_back(std::move(pair));
    }
  }
  const PairwiseSolution solution = Minimize(problem, /*max_table=*/1000);
  EXPECT_EQ(solution.cost, solution.lower_bound);
  EXPECT_EQ(Cost(problem, solution.label), solution.cost);
  // Given the hub's label the rest is a chain: dynamic programming by hand.
  double best = kInfinity;
  for (int hub = 0; hub < kLabels; ++hub) {
    std::vector<double> ends(kLabels, 0);
    for (int v = 1; v <= kSpokes; ++v) {
      std::vector<double> next(kLabels, kInfinity);
      for (int from = 0; from < kLabels; ++from) {
        for (int to = 0; to < kLabels; ++to) {
          double cost = problem.unary[v][to];
          for (const PairwiseProblem::Pair& pair : problem.pairs) {
            // Pairs come in the order of v: at 2 (v - 1) and before it.
            if (pair.a > v) break;
            if (pair.a == v && pair.b == 0) cost += pair.cost[to * 3 + hub];
            if (v > 1 && pair.a == v - 1 && pair.b == v) {
              cost += pair.cost[from * 3 + to];
            }
          }
          next[to] = std::min(next[to], ends[from] + cost);
        }
        if (v == 1) break;  // Nothing comes before the first.
      }
      ends = next;
    }
    best = std::min(best, problem.unary[0][hub] +
                              *std::min_element(ends.begin(), ends.end()));
  }
  EXPECT_EQ(solution.cost, best);
}

// Wider than FindsWhatBruteForceFinds: a hub that the search branches on, and
// forbidden combinations that take labels away.
TEST(EliminationTest, BranchingOnAHubFindsTheLeast) {
  std::mt19937 random(4);
  constexpr int kSpokes = 40;
  auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  int solvable = 0;
  for (int round = 0; round < 200; ++round) {
    const int hub_labels = pick(2, 4);
    PairwiseProblem problem;
    problem.unary.emplace_back();
    for (int h = 0; h < hub_labels; ++h) {
      problem.unary[0].push_back(pick(0, 50));
    }
    // Without pairs between spokes the least is a sum of minima.
    std::vector<double> by_hub_label = problem.unary[0];
    for (int v = 1; v <= kSpokes; ++v) {
      const int labels = pick(2, 3);
      problem.unary.emplace_back();
      for (int l = 0; l < labels; ++l) problem.unary[v].push_back(pick(0, 9));
      PairwiseProblem::Pair pair{v, 0, {}};
      for (int e = 0; e < labels * hub_labels; ++e) {
        pair.cost.push_back(pick(0, 9) == 0 ? kInfinity : pick(0, 9));
      }
      for (int h = 0; h < hub_labels; ++h) {
        double best = kInfinity;
        for (int l = 0; l < labels; ++l) {
          best = std::min(best,
                          problem.unary[v][l] + pair.cost[l * hub_labels + h]);
        }
        by_hub_label[h] += best;
      }
      problem.pairs.push_back(std::move(pair));
    }
    const double best =
        *std::min_element(by_hub_label.begin(), by_hub_label.end());
    const PairwiseSolution solution = Minimize(problem);
    ASSERT_EQ(solution.cost, best) << "round " << round;
    ASSERT_EQ(solution.lower_bound, best) << "round " << round;
    if (best == kInfinity) continue;
    ++solvable;
    ASSERT_EQ(Cost(problem, solution.label), best) << "round " << round;
  }
  EXPECT_GT(solvable, 100);
  EXPECT_LT(solvable, 200);
}

// A label is impossible if a chain of forbidden combinations rules it out.
TEST(EliminationTest, ImpossibleLabelsAreFoundThroughChains) {
  PairwiseProblem problem;
  problem.unary = {{0, kInfinity}, {1, 2}, {3, 4, 5}};
  problem.pairs = {{0, 1, {kInfinity, 0, 0, 0}},         // 0:0 needs 1:1 ...
                   {2, 1, {0, 0, 0, kInfinity, 0, 7}}};  // ... not with 2:1.
  EXPECT_EQ(PossibleLabels(problem),
            (std::vector<std::vector<int>>{{0}, {1}, {0, 2}}));
  // The same from the last to the first: variables are looked at again.
  const PairwiseProblem reversed = {
      {{3, 4, 5}, {1, 2}, {0, kInfinity}},
      {{2, 1, {kInfinity, 0, 0, 0}}, {0, 1, {0, 0, 0, kInfinity, 0, 7}}}};
  EXPECT_EQ(PossibleLabels(reversed),
            (std::vector<std::vector<int>>{{0, 2}, {1}, {0}}));
  const PairwiseProblem part = WithLabels(problem, {{0}, {1}, {0, 2}});
  EXPECT_EQ(part.unary[2], (std::vector<double>{3, 5}));
  EXPECT_EQ(part.pairs[1].cost, (std::vector<double>{0, 7}));
  // The solution's labels are those of the whole problem: 9 + 0 > 1 + 7.
  problem.unary[2] = {9, 4, 1};
  EXPECT_EQ(Minimize(problem).label, (std::vector<int>{0, 1, 2}));
}

TEST(EliminationTest, OfEqualLabelsTheFirstWins) {
  PairwiseProblem problem;
  problem.unary = {{1, 1, 1}, {2, 2}};
  problem.pairs = {{0, 1, {0, 0, 0, 0, 0, 0}}};
  EXPECT_EQ(Minimize(problem).label, (std::vector<int>{0, 0}));
}

TEST(EliminationTest, WithoutVariables) { EXPECT_EQ(Minimize({}).cost, 0); }

}  // namespace
}  // namespace facet::placement
