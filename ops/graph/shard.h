// Which part of a logical tensor a device holds. The one definition of uneven
// splits: labels, sampling, kernels, collectives and checkpoints all use
// ShardRange.
#ifndef FACET_OPS_GRAPH_SHARD_H_
#define FACET_OPS_GRAPH_SHARD_H_

#include <cstdint>

#include "ops/graph/sbp.h"
#include "ops/graph/shape.h"

namespace facet::ops {

struct Range {
  int64_t begin = 0;
  int64_t end = 0;  // One past the last.
  int64_t size() const { return end - begin; }
};

// Range `rank` of n elements over k shards: the first n % k shards get one
// more. 0 <= rank < k. Ranges are adjacent, in rank order, and cover [0, n).
Range ShardRange(int64_t n, int k, int rank);

// A box of a logical tensor: where it begins and how large it is.
struct Region {
  Shape offset;
  Shape shape;
};

// The whole tensor.
Region WholeRegion(const Shape& shape);

// What rank `rank` of `k` devices holds of a tensor of this logical shape. B
// and P hold the whole box.
Region LocalRegion(const Shape& shape, const Sbp& sbp, int k, int rank);

// True if the split leaves every one of k devices at least one element (always
// true for B and P). Facet places no empty shards.
bool IsShardable(const Shape& shape, const Sbp& sbp, int k);

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_SHARD_H_
