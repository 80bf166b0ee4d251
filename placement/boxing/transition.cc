#include "placement/boxing/transition.h"

#include "glog/logging.h"
#include "ops/graph/shard.h"

namespace facet::placement {

using ops::LocalRegion;
using ops::Sbp;
using ops::Shape;
using ops::TensorType;

namespace {

// True if box ranges along dimension `axis` are contiguous pieces in order:
// nothing of extent > 1 lies outside of it.
bool IsOutermost(const Shape& shape, int axis) {
  return shape.num_elements(0, axis) == 1;
}

}  // namespace

absl::string_view CollectiveKindName(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::kNone:
      return "local";
    case CollectiveKind::kAllReduce:
      return "all-reduce";
    case CollectiveKind::kAllGather:
      return "all-gather";
    case CollectiveKind::kReduceScatter:
      return "reduce-scatter";
    case CollectiveKind::kAllToAll:
      return "all-to-all";
  }
  LOG(FATAL) << "unknown CollectiveKind " << static_cast<int>(kind);
  return "";
}

bool TransitionExists(const TensorType& type, Sbp from, int from_count, Sbp to,
                      int to_count) {
  return ops::IsShardable(type.shape, from, from_count) &&
         ops::IsShardable(type.shape, to, to_count) &&
         !(from.is_partial() && to.is_partial() && from != to);
}

ReduceKind ReduceOf(Sbp sbp) {
  if (sbp.kind == Sbp::Kind::kPartialSum) return ReduceKind::kSum;
  if (sbp.kind == Sbp::Kind::kPartialMax) return ReduceKind::kMax;
  return ReduceKind::kNone;
}

TransitionSteps StepsOf(const Shape& shape, Sbp from, Sbp to, int k, int rank) {
  TransitionSteps steps;
  if (from == to) return steps;
  if (k == 1) return steps;  // Every SBP of one device is the whole tensor.
  if (from.is_split() && to.is_broadcast()) {
    steps.kind = CollectiveKind::kAllGather;
    steps.unpack = !IsOutermost(shape, from.axis);
  } else if (from.is_split() && to.is_split()) {
    steps.kind = CollectiveKind::kAllToAll;
    // What goes to each rank, or came from each, may lie in a row already.
    steps.pack = !IsOutermost(LocalRegion(shape, from, k, rank).shape, to.axis);
    steps.unpack =
        !IsOutermost(LocalRegion(shape, to, k, rank).shape, from.axis);
  } else if (from.is_partial() && to.is_broadcast()) {
    steps.kind = CollectiveKind::kAllReduce;
    steps.reduce = ReduceOf(from);
  } else if (from.is_partial() && to.is_split()) {
    steps.kind = CollectiveKind::kReduceScatter;
    steps.reduce = ReduceOf(from);
    steps.pack = !IsOutermost(shape, to.axis);
  } else if (from.is_broadcast() && to.is_split()) {
    steps.pack = true;
  } else {
    CHECK(to.is_partial()) << from.ToString() << " -> " << to.ToString();
    // Of whole copies rank 0 keeps its own.
    steps.unpack = from.is_split() || rank > 0;
  }
  return steps;
}

}  // namespace facet::placement
