// What a change of SBP is made of: pack (local) -> at most one collective on
// contiguous memory -> unpack (local). Lowering and cost both ask here, so that
// what is paid for is what is done.
#ifndef FACET_PLACEMENT_BOXING_TRANSITION_H_
#define FACET_PLACEMENT_BOXING_TRANSITION_H_

#include "absl/strings/string_view.h"
#include "ops/graph/graph.h"
#include "ops/graph/sbp.h"
#include "ops/graph/shape.h"

namespace facet::placement {

enum class CollectiveKind {
  kNone,  // Local work only, or none at all.
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kAllToAll,
};
absl::string_view CollectiveKindName(CollectiveKind kind);  // "all-gather"

enum class ReduceKind { kNone, kSum, kMax };

// How the shares of a partial SBP become the value; kNone for the others.
ReduceKind ReduceOf(ops::Sbp sbp);

// False where a split would leave a device empty, and for P(sum) <-> P(max).
bool TransitionExists(const ops::TensorType& type, ops::Sbp from,
                      int from_count, ops::Sbp to, int to_count);

// What one rank does in a transition between the same devices.
struct TransitionSteps {
  bool pack = false;
  CollectiveKind kind = CollectiveKind::kNone;
  ReduceKind reduce = ReduceKind::kNone;
  bool unpack = false;
};

// Of rank `rank` of `num_devices`, for a transition that exists. `kind` and
// `reduce` are the same for all ranks. Small shares may need no packing where
// larger ones do.
TransitionSteps StepsOf(const ops::Shape& shape, ops::Sbp from, ops::Sbp to,
                        int num_devices, int rank);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_BOXING_TRANSITION_H_
