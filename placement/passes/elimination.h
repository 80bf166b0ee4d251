// Elimination: the minimum of a sum of functions of one and two discrete
// variables, exactly, by eliminating variables one after the other (bucket
// elimination: Dechter, "Bucket elimination: a unifying framework for
// reasoning", 1999). Fast if the graph of the pairs is like a chain or ladder,
// as the graphs of neural networks are; parts that are alike, such as their
// repeated blocks, are worked on once.
#ifndef FACET_PLACEMENT_PASSES_ELIMINATION_H_
#define FACET_PLACEMENT_PASSES_ELIMINATION_H_

#include <cstdint>
#include <vector>

namespace facet::placement {

struct PairwiseProblem {
  // By variable, by label.
  std::vector<std::vector<double>> unary;
  // cost[i * labels(b) + j] for label i of a, j of b; a != b. A pair may come
  // several times.
  struct Pair {
    int a = 0;
    int b = 0;
    std::vector<double> cost;
  };
  std::vector<Pair> pairs;
};

struct PairwiseSolution {
  std::vector<int> label;  // By variable.
  double cost = 0;         // Infinity: no assignment is allowed.
  double lower_bound = 0;  // Equal to cost where the search was exact.
};

// Costs are finite or +infinity. Of equally good labels the first wins. Where
// a table of more than `max_table` entries would be needed, variables are
// fixed greedily, and the lower bound comes from mini-buckets (Dechter and
// Rish, 2003): still valid, no longer equal.
PairwiseSolution Minimize(const PairwiseProblem& problem,
                          int64_t max_table = int64_t{1} << 21);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_ELIMINATION_H_
