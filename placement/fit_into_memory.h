// FitIntoMemory: placements that fit, where the fastest one does not.
#ifndef FACET_PLACEMENT_FIT_INTO_MEMORY_H_
#define FACET_PLACEMENT_FIT_INTO_MEMORY_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "placement/cluster.h"
#include "placement/compile.h"
#include "placement/pass_log.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// Of the search that takes no account of memory, which comes first.
SbpRules FirstRules(const CompileOptions& options);

// What a plan is for that fits into memory, and how it fits.
struct Tried {
  PlacedModel model;
  Plan plan;
  double bytes_over = 0;
  absl::Status fits;
};

// Plans it, whatever memory that takes.
absl::StatusOr<Tried> Try(PlacedModel model, const Cluster& cluster,
                          const CompileOptions& options, PassLog* log);

// Fitting before fast, fast before small.
bool IsBetter(const Tried& a, const Tried& b);

// Searches for a plan that fits, of the same graph as `first`, which does not.
// What it needs beside what the search counts (gradients, workspaces, gaps
// between registers) is known when it is planned: so what may be held is what
// the last plan held less what it was too large, until that is true. If nothing
// fits: what needs least. Not worth the search if it cannot be faster than
// `worth_below` seconds: then `first`.
absl::StatusOr<Tried> FitIntoMemory(const Tried& first, double worth_below,
                                    const Cluster& cluster,
                                    const CompileOptions& options);

// The same model with fused ops that make again what they stored (OpDef::
// fuse_saves_memory: the logits of a head), at the best SBPs for them. Nothing
// if there are none, or the options or pins forbid it.
absl::StatusOr<std::optional<PlacedModel>> WithLogitsMadeAgain(
    const PlacedModel& model, const Cluster& cluster,
    const CompileOptions& options);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_FIT_INTO_MEMORY_H_
