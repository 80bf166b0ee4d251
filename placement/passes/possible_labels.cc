#include "placement/passes/possible_labels.h"

#include <cmath>
#include <deque>
#include <numeric>
#include <set>
#include <utility>

#include "glog/logging.h"

namespace facet::placement {

std::vector<std::vector<int>> PossibleLabels(const PairwiseProblem& problem) {
  const size_t count = problem.unary.size();
  std::vector<std::vector<bool>> possible(count);
  for (size_t v = 0; v < count; ++v) {
    for (double cost : problem.unary[v]) {
      possible[v].push_back(std::isfinite(cost));
    }
  }
  std::vector<std::vector<int>> pairs_of(count);
  for (size_t p = 0; p < problem.pairs.size(); ++p) {
    pairs_of[problem.pairs[p].a].push_back(static_cast<int>(p));
    pairs_of[problem.pairs[p].b].push_back(static_cast<int>(p));
  }

  // Variables that lost labels: their neighbours may have to lose some too.
  std::deque<int> changed;
  std::vector<bool> queued(count, true);
  for (size_t v = 0; v < count; ++v) changed.push_back(static_cast<int>(v));
  while (!changed.empty()) {
    const int v = changed.front();
    changed.pop_front();
    queued[v] = false;
    for (int p : pairs_of[v]) {
      const PairwiseProblem::Pair& pair = problem.pairs[p];
      const bool first = pair.a == v;
      const int other = first ? pair.b : pair.a;
      const size_t columns = problem.unary[pair.b].size();
      bool lost = false;
      for (size_t l = 0; l < possible[other].size(); ++l) {
        if (!possible[other][l]) continue;
        bool has_partner = false;
        for (size_t m = 0; m < possible[v].size() && !has_partner; ++m) {
          const double cost =
              first ? pair.cost[m * columns + l] : pair.cost[l * columns + m];
          has_partner = possible[v][m] && std::isfinite(cost);
        }
        if (has_partner) continue;
        possible[other][l] = false;
        lost = true;
      }
      if (lost && !queued[other]) {
        queued[other] = true;
        changed.push_back(other);
      }
    }
  }

  std::vector<std::vector<int>> labels(count);
  for (size_t v = 0; v < count; ++v) {
    for (size_t l = 0; l < possible[v].size(); ++l) {
      if (possible[v][l]) labels[v].push_back(static_cast<int>(l));
    }
  }
  return labels;
}

PairwiseProblem WithLabels(const PairwiseProblem& problem,
                           const std::vector<std::vector<int>>& labels) {
  CHECK_EQ(labels.size(), problem.unary.size());
  PairwiseProblem part;
  for (size_t v = 0; v < labels.size(); ++v) {
    part.unary.emplace_back();
    for (int l : labels[v]) part.unary[v].push_back(problem.unary[v][l]);
  }
  for (const PairwiseProblem::Pair& pair : problem.pairs) {
    const size_t columns = problem.unary[pair.b].size();
    PairwiseProblem::Pair kept{pair.a, pair.b, {}};
    for (int i : labels[pair.a]) {
      for (int j : labels[pair.b]) {
        kept.cost.push_back(pair.cost[i * columns + j]);
      }
    }
    part.pairs.push_back(std::move(kept));
  }
  return part;
}

int FindHub(const PairwiseProblem& problem) {
  // Chains and ladders, which elimination is good at, have fewer.
  constexpr size_t kManyNeighbours = 32;
  std::vector<std::set<int>> neighbours(problem.unary.size());
  for (const PairwiseProblem::Pair& pair : problem.pairs) {
    if (problem.unary[pair.a].size() < 2) continue;
    if (problem.unary[pair.b].size() < 2) continue;
    neighbours[pair.a].insert(pair.b);
    neighbours[pair.b].insert(pair.a);
  }
  int hub = kNoHub;
  size_t most = kManyNeighbours;
  for (size_t v = 0; v < neighbours.size(); ++v) {
    if (neighbours[v].size() <= most) continue;
    most = neighbours[v].size();
    hub = static_cast<int>(v);
  }
  return hub;
}

std::vector<PairwiseProblem> Branches(const PairwiseProblem& problem, int hub) {
  std::vector<std::vector<int>> labels(problem.unary.size());
  for (size_t v = 0; v < labels.size(); ++v) {
    labels[v].resize(problem.unary[v].size());
    std::iota(labels[v].begin(), labels[v].end(), 0);
  }
  std::vector<PairwiseProblem> branches;
  for (size_t l = 0; l < problem.unary[hub].size(); ++l) {
    labels[hub] = {static_cast<int>(l)};
    branches.push_back(WithLabels(problem, labels));
  }
  return branches;
}

}  // namespace facet::placement
