#include "placement/passes/elimination.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "placement/passes/possible_labels.h"

namespace facet::placement {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Equal tables of the problem have one id, and so have results of the same work
// on such: the repeated blocks of a network are worked on once.
struct Table {
  int64_t id = 0;
  std::vector<double> values;
};

// A function of some variables: row-major table, the last one fastest.
struct Factor {
  std::vector<int> variables;
  std::shared_ptr<const Table> table;
};

// What to do when an elimination would need too large a table.
enum class Overflow {
  kFix,    // Give the variable its locally best label: an upper bound.
  kSplit,  // Minimise groups of factors one by one: a lower bound.
};

class Eliminator {
 public:
  Eliminator(const PairwiseProblem& problem, int64_t max_table,
             Overflow overflow)
      : problem_(problem), max_table_(max_table), overflow_(overflow) {}

  // The minimum (or bound); labels() then has the assignment, unless split.
  double Run();
  const std::vector<int>& labels() const { return labels_; }
  bool exact() const { return exact_; }

 private:
  int domain(int v) const { return static_cast<int>(problem_.unary[v].size()); }
  // The table of the problem that has these values.
  std::shared_ptr<const Table> Interned(std::vector<double> values);
  std::shared_ptr<const Table> NewTable(std::vector<double> values) {
    return std::make_shared<const Table>(Table{next_id_++, std::move(values)});
  }
  void AddFactor(Factor factor);
  void Remove(int factor);
  // All variables of the factors but v, ascending.
  template <typename Ids>
  std::vector<int> NeighboursIn(const Ids& factors, int v) const;
  // Entries of the table over the variable's neighbours, capped.
  double TableSize(int v) const;
  void Eliminate(int v);
  std::vector<double> InOrder(const Factor& factor,
                              const std::vector<int>& order) const;
  void MinimizeOut(int v, std::vector<int> factors);
  void Fix(int v);
  void Touch(int v);

  // One eliminated variable: its best label by its neighbours' labels.
  struct Step {
    int variable;
    std::vector<int> neighbours;
    std::shared_ptr<const std::vector<int>> best;
  };

  // What minimising over a variable gave.
  struct Minimum {
    std::weak_ptr<const Table> table;
    std::shared_ptr<const std::vector<int>> best;
  };

  const PairwiseProblem& problem_;
  const int64_t max_table_;
  const Overflow overflow_;
  bool exact_ = true;
  std::vector<Factor> factors_;
  std::vector<std::set<int>> of_variable_;  // Live factors by variable.
  std::vector<bool> gone_;
  std::vector<Step> steps_;
  std::vector<int> labels_;
  double constant_ = 0;
  int64_t next_id_ = 0;
  std::unordered_map<size_t, std::vector<std::shared_ptr<const Table>>>
      interned_;  // By hash of the values.
  // By the number of labels of the variable and its neighbours, and of each
  // factor by its table and which of them it is a function of.
  std::map<std::vector<int64_t>, Minimum> minima_;
  // (table size, variable); stale entries are skipped.
  std::set<std::pair<double, int>> queue_;
  std::vector<double> size_;
};

std::shared_ptr<const Table> Eliminator::Interned(std::vector<double> values) {
  const absl::string_view bytes(reinterpret_cast<const char*>(values.data()),
                                values.size() * sizeof(double));
  std::vector<std::shared_ptr<const Table>>& alike =
      interned_[absl::HashOf(bytes)];
  for (const std::shared_ptr<const Table>& table : alike) {
    if (table->values == values) return table;
  }
  alike.push_back(NewTable(std::move(values)));
  return alike.back();
}

void Eliminator::AddFactor(Factor factor) {
  if (factor.variables.empty()) {
    constant_ += factor.table->values[0];
    return;
  }
  const int id = static_cast<int>(factors_.size());
  for (int v : factor.variables) of_variable_[v].insert(id);
  factors_.push_back(std::move(factor));
}

void Eliminator::Remove(int factor) {
  for (int v : factors_[factor].variables) of_variable_[v].erase(factor);
  factors_[factor].table = nullptr;
}

template <typename Ids>
std::vector<int> Eliminator::NeighboursIn(const Ids& factors, int v) const {
  std::vector<int> found;
  for (int f : factors) {
    for (int n : factors_[f].variables) {
      if (n != v) found.push_back(n);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

double Eliminator::TableSize(int v) const {
  double size = 1;
  for (int n : NeighboursIn(of_variable_[v], v)) size *= domain(n);
  return size;
}

void Eliminator::Touch(int v) {
  if (gone_[v]) return;
  queue_.erase({size_[v], v});
  size_[v] = TableSize(v);
  queue_.insert({size_[v], v});
}

// The factor's table for its variables in another order.
std::vector<double> Eliminator::InOrder(const Factor& factor,
                                        const std::vector<int>& order) const {
  const std::vector<double>& values = factor.table->values;
  const size_t rank = order.size();
  std::vector<int64_t> stride(rank);  // In the factor's own table.
  int64_t next = 1;
  for (size_t i = rank; i-- > 0;) {
    const auto at = std::find(order.begin(), order.end(), factor.variables[i]);
    stride[at - order.begin()] = next;
    next *= domain(factor.variables[i]);
  }
  std::vector<double> table;
  table.reserve(values.size());
  std::vector<int> label(rank, 0);
  int64_t at = 0;
  while (table.size() < values.size()) {
    for (int j = 0; j < domain(order.back()); ++j) {
      table.push_back(values[at + j * stride.back()]);
    }
    for (size_t n = rank - 1; n-- > 0;) {
      at += stride[n];
      if (++label[n] < domain(order[n])) break;
      at -= stride[n] * domain(order[n]);
      label[n] = 0;
    }
  }
  return table;
}

// Replaces the factors, all of which have v, by their sum's minimum over v.
void Eliminator::MinimizeOut(int v, std::vector<int> ids) {
  std::vector<int> neighbours = NeighboursIn(ids, v);
  int64_t size = 1;
  for (int n : neighbours) size *= domain(n);
  // The labels of one of them are worked on side by side: the one that has the
  // most, as the innermost dimension of all tables that have it.
  const auto widest =
      std::max_element(neighbours.begin(), neighbours.end(),
                       [this](int a, int b) { return domain(a) < domain(b); });
  if (widest != neighbours.end()) {
    std::rotate(widest, widest + 1, neighbours.end());
  }

  std::vector<int64_t> key = {domain(v)};
  for (int n : neighbours) key.push_back(domain(n));
  for (int f : ids) {
    key.push_back(factors_[f].table->id);
    for (int u : factors_[f].variables) {
      key.push_back(std::find(neighbours.begin(), neighbours.end(), u) -
                    neighbours.begin());
    }
  }
  Minimum& known = minima_[std::move(key)];
  if (std::shared_ptr<const Table> table = known.table.lock()) {
    for (int f : ids) Remove(f);
    steps_.push_back({v, neighbours, known.best});
    AddFactor({std::move(neighbours), std::move(table)});
    return;
  }

  const size_t outer = neighbours.empty() ? 0 : neighbours.size() - 1;
  const int width = neighbours.empty() ? 1 : domain(neighbours.back());
  // A factor, v outermost, and how its index moves with each other neighbour's
  // label.
  struct Walk {
    std::vector<double> reordered;
    std::shared_ptr<const Table> as_it_is;
    const double* values = nullptr;  // Of one of them.
    std::vector<int64_t> stride;     // By outer neighbour.
    int64_t own_stride = 0;          // Of v's label.
    int64_t at = 0;
  };
  std::vector<Walk> walks, alike;  // With the last neighbour, and without.
  for (int f : ids) {
    const std::vector<int>& variables = factors_[f].variables;
    std::vector<int> order = {v};
    for (int n : neighbours) {
      if (std::find(variables.begin(), variables.end(), n) != variables.end()) {
        order.push_back(n);
      }
    }
    Walk walk;
    walk.stride.assign(outer, 0);
    if (order == variables) {
      walk.as_it_is = factors_[f].table;
      walk.values = walk.as_it_is->values.data();
    } else {
      walk.reordered = InOrder(factors_[f], order);
      walk.values = walk.reordered.data();
    }
    int64_t stride = 1;
    for (size_t i = order.size(); i-- > 1;) {
      const size_t n =
          std::find(neighbours.begin(), neighbours.end(), order[i]) -
          neighbours.begin();
      if (n < outer) walk.stride[n] = stride;
      stride *= domain(order[i]);
    }
    walk.own_stride = stride;
    const bool has_last =
        outer < neighbours.size() && order.back() == neighbours.back();
    (has_last ? walks : alike).push_back(std::move(walk));
  }

  std::vector<double> least(size, kInfinity);
  std::vector<int> best_labels(size, 0);
  std::vector<int> label(outer, 0);
  std::vector<double> cost(width);
  for (int64_t entry = 0; entry < size; entry += width) {
    double* const best = &least[entry];
    int* const best_label = &best_labels[entry];
    for (int l = 0; l < domain(v); ++l) {
      // What is the same for all labels of the last neighbour, then the rest.
      double common = 0;
      for (const Walk& walk : alike) {
        common += walk.values[walk.at + l * walk.own_stride];
      }
      if (common == kInfinity) continue;
      std::fill(cost.begin(), cost.end(), common);
      for (const Walk& walk : walks) {
        const double* const from = &walk.values[walk.at + l * walk.own_stride];
        for (int j = 0; j < width; ++j) cost[j] += from[j];
      }
      for (int j = 0; j < width; ++j) {
        best_label[j] = cost[j] < best[j] ? l : best_label[j];
        best[j] = std::min(best[j], cost[j]);
      }
    }
    // Next assignment of the outer neighbours, the last one fastest.
    for (size_t n = outer; n-- > 0;) {
      if (++label[n] < domain(neighbours[n])) {
        for (auto* list : {&walks, &alike}) {
          for (Walk& walk : *list) walk.at += walk.stride[n];
        }
        break;
      }
      label[n] = 0;
      for (auto* list : {&walks, &alike}) {
        for (Walk& walk : *list) {
          walk.at -= walk.stride[n] * (domain(neighbours[n]) - 1);
        }
      }
    }
  }
  for (int f : ids) Remove(f);
  known.best = std::make_shared<const std::vector<int>>(std::move(best_labels));
  steps_.push_back({v, neighbours, known.best});
  std::shared_ptr<const Table> table = NewTable(std::move(least));
  known.table = table;
  AddFactor({std::move(neighbours), std::move(table)});
}

// Gives v the label that is best if all neighbours could choose theirs freely,
// and makes its factors functions of the others.
void Eliminator::Fix(int v) {
  const std::vector<int> ids(of_variable_[v].begin(), of_variable_[v].end());
  std::vector<double> least(domain(v), 0);
  struct Part {
    int64_t stride;
    int factor;
  };
  std::vector<Part> parts;
  for (int f : ids) {
    const Factor& factor = factors_[f];
    int64_t stride = 1;
    for (size_t i = factor.variables.size(); factor.variables[--i] != v;) {
      stride *= domain(factor.variables[i]);
    }
    parts.push_back({stride, f});
    std::vector<double> of_label(domain(v), kInfinity);
    const std::vector<double>& values = factor.table->values;
    for (size_t e = 0; e < values.size(); ++e) {
      double& value = of_label[e / stride % domain(v)];
      value = std::min(value, values[e]);
    }
    for (int l = 0; l < domain(v); ++l) least[l] += of_label[l];
  }
  const int chosen = static_cast<int>(
      std::min_element(least.begin(), least.end()) - least.begin());
  for (const Part& part : parts) {
    const Factor& factor = factors_[part.factor];
    Factor rest;
    for (int u : factor.variables) {
      if (u != v) rest.variables.push_back(u);
    }
    const std::vector<double>& values = factor.table->values;
    std::vector<double> left;
    for (size_t e = 0; e < values.size(); ++e) {
      if (static_cast<int>(e / part.stride % domain(v)) == chosen) {
        left.push_back(values[e]);
      }
    }
    Remove(part.factor);
    rest.table = NewTable(std::move(left));
    AddFactor(std::move(rest));
  }
  steps_.push_back(
      {v, {}, std::make_shared<const std::vector<int>>(1, chosen)});
}

void Eliminator::Eliminate(int v) {
  const std::vector<int> neighbours = NeighboursIn(of_variable_[v], v);
  gone_[v] = true;
  if (size_[v] <= static_cast<double>(max_table_)) {
    MinimizeOut(v, {of_variable_[v].begin(), of_variable_[v].end()});
  } else if (overflow_ == Overflow::kFix) {
    exact_ = false;
    Fix(v);
  } else {
    exact_ = false;
    // Groups as large as the limit allows, in the factors' order.
    std::vector<int> group;
    std::set<int> scope;
    const std::vector<int> ids(of_variable_[v].begin(), of_variable_[v].end());
    for (int f : ids) {
      std::set<int> joined = scope;
      joined.insert(factors_[f].variables.begin(), factors_[f].variables.end());
      double size = 1;
      for (int u : joined) {
        if (u != v) size *= domain(u);
      }
      if (!group.empty() && size > static_cast<double>(max_table_)) {
        MinimizeOut(v, std::move(group));
        group = {};
        joined = {factors_[f].variables.begin(), factors_[f].variables.end()};
      }
      group.push_back(f);
      scope = std::move(joined);
    }
    MinimizeOut(v, std::move(group));
  }
  for (int n : neighbours) Touch(n);
}

double Eliminator::Run() {
  const int count = static_cast<int>(problem_.unary.size());
  of_variable_.resize(count);
  gone_.resize(count, false);
  size_.resize(count, 0);
  labels_.resize(count, 0);
  // A variable with one label is no variable: its pairs are unary.
  std::vector<std::vector<double>> unary = problem_.unary;
  std::map<std::pair<int, int>, std::vector<double>> merged;
  for (const PairwiseProblem::Pair& pair : problem_.pairs) {
    const int rows = domain(pair.a), columns = domain(pair.b);
    CHECK_EQ(static_cast<int>(pair.cost.size()), rows * columns);
    if (rows == 1 || columns == 1) {
      std::vector<double>& target =
          columns == 1 ? unary[pair.a] : unary[pair.b];
      for (size_t l = 0; l < target.size(); ++l) target[l] += pair.cost[l];
      continue;
    }
    const bool swap = pair.a > pair.b;
    std::vector<double>& table =
        merged[{std::min(pair.a, pair.b), std::max(pair.a, pair.b)}];
    table.resize(pair.cost.size(), 0);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) {
        table[swap ? j * rows + i : i * columns + j] +=
            pair.cost[i * columns + j];
      }
    }
  }
  for (int v = 0; v < count; ++v) {
    if (domain(v) > 1) {
      AddFactor({{v}, Interned(std::move(unary[v]))});
    } else {
      constant_ += unary[v][0];
      gone_[v] = true;
    }
  }
  for (auto& [ends, table] : merged) {
    AddFactor({{ends.first, ends.second}, Interned(std::move(table))});
  }
  for (int v = 0; v < count; ++v) {
    if (gone_[v]) continue;
    size_[v] = TableSize(v);
    queue_.insert({size_[v], v});
  }
  interned_.clear();  // Factors have what they need.
  while (!queue_.empty()) {
    const int v = queue_.begin()->second;
    queue_.erase(queue_.begin());
    Eliminate(v);
  }
  // Back substitution: a step's neighbours were eliminated after it.
  for (size_t s = steps_.size(); s-- > 0;) {
    const Step& step = steps_[s];
    int64_t entry = 0;
    for (int n : step.neighbours) entry = entry * domain(n) + labels_[n];
    labels_[step.variable] = (*step.best)[entry];
  }
  return constant_;
}

double Evaluate(const PairwiseProblem& problem,
                const std::vector<int>& labels) {
  double cost = 0;
  for (size_t v = 0; v < labels.size(); ++v) {
    cost += problem.unary[v][labels[v]];
  }
  for (const PairwiseProblem::Pair& pair : problem.pairs) {
    cost += pair.cost[labels[pair.a] * problem.unary[pair.b].size() +
                      labels[pair.b]];
  }
  return cost;
}

PairwiseSolution NoSolution(const PairwiseProblem& problem) {
  return {std::vector<int>(problem.unary.size(), 0), kInfinity, kInfinity};
}

// Leaves out impossible labels, and solves once for each label of a hub: with
// its label known its neighbours often have few possible ones left, and no
// table spans it. At most `max_branches` eliminations.
PairwiseSolution Solve(const PairwiseProblem& whole, int64_t max_table,
                       int max_branches) {
  const std::vector<std::vector<int>> labels = PossibleLabels(whole);
  for (const std::vector<int>& possible : labels) {
    if (possible.empty()) return NoSolution(whole);
  }
  const PairwiseProblem problem = WithLabels(whole, labels);
  const int hub = FindHub(problem);
  const int branches =
      hub == kNoHub ? 1 : static_cast<int>(problem.unary[hub].size());
  PairwiseSolution solution = NoSolution(problem);
  if (hub == kNoHub || branches > max_branches) {
    Eliminator search(problem, max_table, Overflow::kFix);
    search.Run();
    solution.label = search.labels();
    solution.cost = Evaluate(problem, solution.label);
    solution.lower_bound = solution.cost;
    if (!search.exact()) {
      Eliminator bound(problem, max_table, Overflow::kSplit);
      solution.lower_bound = std::min(bound.Run(), solution.cost);
    }
  } else {
    const std::vector<PairwiseProblem> parts = Branches(problem, hub);
    for (int l = 0; l < branches; ++l) {
      PairwiseSolution found =
          Solve(parts[l], max_table, max_branches / branches);
      found.label[hub] = l;
      const double bound = std::min(solution.lower_bound, found.lower_bound);
      if (found.cost < solution.cost) solution = std::move(found);
      solution.lower_bound = bound;
    }
  }
  for (size_t v = 0; v < labels.size(); ++v) {
    solution.label[v] = labels[v][solution.label[v]];
  }
  return solution;
}

}  // namespace

PairwiseSolution Minimize(const PairwiseProblem& problem, int64_t max_table) {
  constexpr int kMaxBranches = 8;
  return Solve(problem, max_table, kMaxBranches);
}

}  // namespace facet::placement
