#include "placement/passes/min_marginals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "placement/passes/possible_labels.h"

namespace facet::placement {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A function of some variables: the last one varies fastest.
struct Table {
  std::vector<int> scope;
  std::vector<double> values;
};

class BucketTree {
 public:
  explicit BucketTree(const PairwiseProblem& problem) : problem_(problem) {}

  // False: too large.
  bool Build(int64_t max_table);
  std::vector<std::vector<double>> Find();

 private:
  int Domain(int v) const { return static_cast<int>(problem_.unary[v].size()); }
  // Entry of `part` (a subset of the table's scope, any order) for every entry
  // of a table with this scope.
  std::vector<int> Positions(const std::vector<int>& scope,
                             const std::vector<int>& part) const;
  void AddTo(const Table& part, Table* table) const;
  // The least over the variables that are not in `scope`.
  Table MinimizeTo(const Table& table, std::vector<int> scope) const;

  const PairwiseProblem& problem_;
  std::vector<int> order_;     // In which variables are eliminated.
  std::vector<int> position_;  // By variable, in order_.
  // By variable: itself and those that it meets later.
  std::vector<std::vector<int>> scope_;
};

std::vector<int> BucketTree::Positions(const std::vector<int>& scope,
                                       const std::vector<int>& part) const {
  std::vector<int> step(scope.size(), 0);  // What one more label adds.
  int stride = 1;
  for (size_t i = part.size(); i-- > 0;) {
    const auto at = std::find(scope.begin(), scope.end(), part[i]);
    step[at - scope.begin()] = stride;
    stride *= Domain(part[i]);
  }
  int64_t size = 1;
  for (int v : scope) size *= Domain(v);
  std::vector<int> positions(size);
  std::vector<int> label(scope.size(), 0);
  int position = 0;
  for (int64_t e = 0; e < size; ++e) {
    positions[e] = position;
    for (size_t i = scope.size(); i-- > 0;) {
      position += step[i];
      if (++label[i] < Domain(scope[i])) break;
      position -= step[i] * label[i];
      label[i] = 0;
    }
  }
  return positions;
}

void BucketTree::AddTo(const Table& part, Table* table) const {
  const std::vector<int> positions = Positions(table->scope, part.scope);
  for (size_t e = 0; e < positions.size(); ++e) {
    table->values[e] += part.values[positions[e]];
  }
}

Table BucketTree::MinimizeTo(const Table& table, std::vector<int> scope) const {
  int64_t size = 1;
  for (int v : scope) size *= Domain(v);
  Table result{std::move(scope), std::vector<double>(size, kInfinity)};
  const std::vector<int> positions = Positions(table.scope, result.scope);
  for (size_t e = 0; e < positions.size(); ++e) {
    double& least = result.values[positions[e]];
    least = std::min(least, table.values[e]);
  }
  return result;
}

bool BucketTree::Build(int64_t max_table) {
  const int count = static_cast<int>(problem_.unary.size());
  std::vector<std::set<int>> neighbours(count);
  for (const PairwiseProblem::Pair& pair : problem_.pairs) {
    neighbours[pair.a].insert(pair.b);
    neighbours[pair.b].insert(pair.a);
  }
  auto size_of = [&](int v) {
    double size = Domain(v);
    for (int n : neighbours[v]) size *= Domain(n);
    return size;
  };
  // The variable with the smallest table next.
  std::set<std::pair<double, int>> queue;
  std::vector<double> size(count);
  for (int v = 0; v < count; ++v) queue.insert({size[v] = size_of(v), v});
  position_.assign(count, 0);
  scope_.resize(count);
  double total = 0;
  while (!queue.empty()) {
    const int v = queue.begin()->second;
    total += size[v];
    if (size[v] > static_cast<double>(max_table) ||
        total > 16.0 * static_cast<double>(max_table)) {
      return false;
    }
    queue.erase(queue.begin());
    position_[v] = static_cast<int>(order_.size());
    order_.push_back(v);
    scope_[v] = {v};
    scope_[v].insert(scope_[v].end(), neighbours[v].begin(),
                     neighbours[v].end());
    for (int a : neighbours[v]) {
      neighbours[a].erase(v);
      for (int b : neighbours[v]) {
        if (a != b) neighbours[a].insert(b);
      }
    }
    for (int a : neighbours[v]) {
      queue.erase({size[a], a});
      queue.insert({size[a] = size_of(a), a});
    }
  }
  return true;
}

std::vector<std::vector<double>> BucketTree::Find() {
  const int count = static_cast<int>(problem_.unary.size());
  // Bucket v: all that is said of v and of variables eliminated after it.
  std::vector<Table> bucket(count);
  for (int v = 0; v < count; ++v) {
    int64_t size = 1;
    for (int u : scope_[v]) size *= Domain(u);
    bucket[v] = {scope_[v], std::vector<double>(size, 0)};
    AddTo({{v}, problem_.unary[v]}, &bucket[v]);
  }
  for (const PairwiseProblem::Pair& pair : problem_.pairs) {
    const int first = position_[pair.a] < position_[pair.b] ? pair.a : pair.b;
    AddTo({{pair.a, pair.b}, pair.cost}, &bucket[first]);
  }
  // Up: what the buckets before say of the rest.
  std::vector<Table> message(count);
  std::vector<int> parent(count, -1);
  for (int v : order_) {
    std::vector<int> rest(scope_[v].begin() + 1, scope_[v].end());
    message[v] = MinimizeTo(bucket[v], rest);
    if (rest.empty()) continue;
    parent[v] = *std::min_element(rest.begin(), rest.end(), [&](int a, int b) {
      return position_[a] < position_[b];
    });
    AddTo(message[v], &bucket[parent[v]]);
  }
  // Parts of the problem that have nothing to do with each other: each has a
  // root, whose minimum all others' costs contain.
  double all = 0;
  for (int v : order_) {
    if (parent[v] < 0) all += message[v].values[0];
  }
  // Down: buckets become complete, the last eliminated first.
  for (size_t i = order_.size(); i-- > 0;) {
    const int v = order_[i];
    Table outside;
    if (parent[v] < 0) {
      outside = {{}, {all}};
    } else {
      outside = MinimizeTo(bucket[parent[v]], message[v].scope);
    }
    // Without what came from here.
    for (size_t e = 0; e < outside.values.size(); ++e) {
      if (std::isfinite(outside.values[e])) {
        outside.values[e] -= message[v].values[e];
      }
    }
    AddTo(outside, &bucket[v]);
  }
  std::vector<std::vector<double>> marginals;
  for (int v = 0; v < count; ++v) {
    marginals.push_back(MinimizeTo(bucket[v], {v}).values);
  }
  return marginals;
}

using Marginals = std::vector<std::vector<double>>;

// Leaves out impossible labels, which only make tables larger, and solves once
// for each label of a hub; at most `max_branches` times.
std::optional<Marginals> Solve(const PairwiseProblem& whole, int64_t max_table,
                               int max_branches) {
  const size_t count = whole.unary.size();
  Marginals result(count);
  for (size_t v = 0; v < count; ++v) {
    result[v].assign(whole.unary[v].size(), kInfinity);
  }
  const std::vector<std::vector<int>> labels = PossibleLabels(whole);
  for (const std::vector<int>& possible : labels) {
    if (possible.empty()) return result;
  }
  const PairwiseProblem problem = WithLabels(whole, labels);
  auto keep_less = [&](size_t v, size_t l, double cost) {
    double& least = result[v][labels[v][l]];
    least = std::min(least, cost);
  };
  const int hub = FindHub(problem);
  const int branches =
      hub == kNoHub ? 1 : static_cast<int>(problem.unary[hub].size());
  if (hub == kNoHub || branches > max_branches) {
    BucketTree tree(problem);
    if (!tree.Build(max_table)) return std::nullopt;
    const Marginals found = tree.Find();
    for (size_t v = 0; v < count; ++v) {
      for (size_t l = 0; l < labels[v].size(); ++l) {
        keep_less(v, l, found[v][l]);
      }
    }
    return result;
  }
  const std::vector<PairwiseProblem> parts = Branches(problem, hub);
  for (int branch = 0; branch < branches; ++branch) {
    const std::optional<Marginals> found =
        Solve(parts[branch], max_table, max_branches / branches);
    if (!found.has_value()) return std::nullopt;
    for (size_t v = 0; v < count; ++v) {
      for (size_t l = 0; l < (*found)[v].size(); ++l) {
        // The hub has one label there.
        keep_less(v, static_cast<int>(v) == hub ? branch : l, (*found)[v][l]);
      }
    }
  }
  return result;
}

}  // namespace

std::optional<std::vector<std::vector<double>>> MinMarginals(
    const PairwiseProblem& problem, int64_t max_table) {
  constexpr int kMaxBranches = 8;
  return Solve(problem, max_table, kMaxBranches);
}

}  // namespace facet::placement
