// MinMarginals: for every label of every variable of a pairwise problem, the
// least cost of an assignment that has it. All of them for about three times
// the work of one minimum: messages up and down the tree of buckets that
// elimination makes (Dechter, "Bucket elimination: a unifying framework for
// reasoning", 1999; Kask et al., "Unifying tree decompositions for reasoning in
// graphical models", 2005).
#ifndef FACET_PLACEMENT_PASSES_MIN_MARGINALS_H_
#define FACET_PLACEMENT_PASSES_MIN_MARGINALS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "placement/passes/elimination.h"

namespace facet::placement {

// By variable, by label; infinity: no assignment has it. Exact but for
// rounding. Nothing if a table of more than `max_table` entries, or tables of
// more than 16 times that together, would be needed.
std::optional<std::vector<std::vector<double>>> MinMarginals(
    const PairwiseProblem& problem, int64_t max_table = int64_t{1} << 22);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_MIN_MARGINALS_H_
