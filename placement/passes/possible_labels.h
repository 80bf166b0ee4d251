// PossibleLabels: which labels of a pairwise problem can be part of any
// assignment at all. Exact: what it leaves out only occurs in assignments of
// infinite cost.
#ifndef FACET_PLACEMENT_PASSES_POSSIBLE_LABELS_H_
#define FACET_PLACEMENT_PASSES_POSSIBLE_LABELS_H_

#include <vector>

#include "placement/passes/elimination.h"

namespace facet::placement {

// By variable, ascending: the labels of finite cost for which every pair has a
// possible partner (arc consistency: Mackworth, "Consistency in networks of
// relations", 1977). An empty list: no assignment is allowed. Lists that are
// not empty promise nothing about all variables together.
std::vector<std::vector<int>> PossibleLabels(const PairwiseProblem& problem);

// The problem with these labels only, in this order; pairs keep their order.
PairwiseProblem WithLabels(const PairwiseProblem& problem,
                           const std::vector<std::vector<int>>& labels);

// The variable that makes the others' tables large: the one with the most
// neighbours, of those with labels to choose from. kNoHub if none has many.
inline constexpr int kNoHub = -1;
int FindHub(const PairwiseProblem& problem);

// The problem once for each label of the hub, which is the only one that it has
// left: its neighbours often have few possible ones then, and no table spans
// it.
std::vector<PairwiseProblem> Branches(const PairwiseProblem& problem, int hub);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_POSSIBLE_LABELS_H_
