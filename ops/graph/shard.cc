#include "ops/graph/shard.h"

#include <algorithm>

#include "glog/logging.h"

namespace facet::ops {

Range ShardRange(int64_t n, int k, int rank) {
  CHECK_GT(k, 0);
  CHECK(rank >= 0 && rank < k) << "rank " << rank << " of " << k;
  const int64_t base = n / k;
  const int64_t larger = n % k;  // This many shards have base + 1.
  const int64_t begin = rank * base + std::min<int64_t>(rank, larger);
  return {begin, begin + base + (rank < larger ? 1 : 0)};
}

Region WholeRegion(const Shape& shape) {
  Region region{shape, shape};
  for (int i = 0; i < shape.rank(); ++i) region.offset[i] = 0;
  return region;
}

Region LocalRegion(const Shape& shape, const Sbp& sbp, int k, int rank) {
  Region region = WholeRegion(shape);
  if (!sbp.is_split()) return region;
  CHECK_LT(sbp.axis, shape.rank())
      << sbp.ToString() << " of " << shape.ToString();
  const Range range = ShardRange(shape[sbp.axis], k, rank);
  region.offset[sbp.axis] = range.begin;
  region.shape[sbp.axis] = range.size();
  return region;
}

bool IsShardable(const Shape& shape, const Sbp& sbp, int k) {
  if (!sbp.is_split()) return true;
  return sbp.axis < shape.rank() && shape[sbp.axis] >= k;
}

}  // namespace facet::ops
