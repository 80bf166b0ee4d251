#include "placement/boxing/boxing_cost.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "ops/graph/shard.h"
#include "placement/boxing/transition.h"

namespace facet::placement {

using ops::LocalRegion;
using ops::Sbp;
using ops::Shape;
using ops::TensorType;

namespace {

// The rank with the most local work: shares do not grow with the rank.
int BusiestRank(Sbp from, Sbp to) {
  return from.is_broadcast() && to.is_partial() ? 1 : 0;
}

// Elements of the share of the last rank, the smallest.
int64_t SmallestShare(const Shape& shape, Sbp sbp, int k) {
  return LocalRegion(shape, sbp, k, k - 1).shape.num_elements();
}

// The most elements that one device sends to others.
int64_t ElementsSent(const Shape& shape, Sbp from, Sbp to, int k,
                     CollectiveKind kind) {
  const int64_t total = shape.num_elements();
  switch (kind) {
    case CollectiveKind::kNone:
      return 0;
    case CollectiveKind::kAllGather:
      return total - SmallestShare(shape, from, k);
    case CollectiveKind::kReduceScatter:
      return total - SmallestShare(shape, to, k);
    case CollectiveKind::kAllReduce:
      return 2 * (total - ops::ShardRange(total, k, k - 1).size());
    case CollectiveKind::kAllToAll: {
      // Of the ranks that keep a larger range of to.axis the first has the
      // most to send, and so has the first of those that keep a smaller one.
      int64_t most = 0;
      for (int rank : {0, static_cast<int>(shape[to.axis] % k)}) {
        const Shape mine = LocalRegion(shape, from, k, rank).shape;
        const int64_t kept = mine.num_elements() / mine[to.axis] *
                             ops::ShardRange(mine[to.axis], k, rank).size();
        most = std::max(most, mine.num_elements() - kept);
      }
      return most;
    }
  }
  return 0;
}

// Bytes of memory traffic of the local tasks of the rank that has these steps.
int64_t LocalBytes(const TensorType& type, Sbp from, Sbp to, int k, int rank,
                   const TransitionSteps& steps) {
  const int64_t in =
      LocalRegion(type.shape, from, k, rank).shape.num_elements();
  const int64_t out = LocalRegion(type.shape, to, k, rank).shape.num_elements();
  int64_t elements = 0;
  // A pack reads what it writes: a slice, or all the rank has.
  if (steps.pack) {
    elements += 2 * (steps.kind == CollectiveKind::kNone ? out : in);
  }
  if (steps.unpack) {
    // A collective has brought all of the target; padding reads the share, or
    // nothing where another rank has the value.
    int64_t read = out;
    if (to.is_partial()) read = from.is_broadcast() ? 0 : in;
    elements += read + out;
  }
  return elements * ops::SizeInBytes(type.dtype);
}

}  // namespace

double BoxingSeconds(const TensorType& type, Sbp from, Sbp to,
                     const Cluster& cluster, int axis) {
  if (from == to) return 0;
  const MeshAxis& mesh = cluster.mesh[axis];
  const int k = mesh.size;
  if (!TransitionExists(type, from, k, to, k)) {
    return std::numeric_limits<double>::infinity();
  }
  if (k == 1) return 0;
  const int rank = BusiestRank(from, to);
  const TransitionSteps steps = StepsOf(type.shape, from, to, k, rank);
  const double bytes =
      static_cast<double>(ElementsSent(type.shape, from, to, k, steps.kind)) *
      ops::SizeInBytes(type.dtype);
  double rounds = 0;
  if (steps.kind == CollectiveKind::kAllReduce)
    rounds = 2 * (k - 1);
  else if (steps.kind != CollectiveKind::kNone)
    rounds = k - 1;
  const DeviceSpec& device = cluster.devices.front();
  double seconds = rounds * mesh.latency_seconds +
                   bytes / mesh.bytes_per_second +
                   LocalBytes(type, from, to, k, rank, steps) /
                       device.memory_bytes_per_second;
  seconds += (steps.pack + steps.unpack) * device.launch_seconds;
  return seconds;
}

}  // namespace facet::placement
