// ShardRanges: ShardRange (ops/graph/shard.h) in a kernel.
#ifndef FACET_OPS_CUDA_SHARD_RANGES_H_
#define FACET_OPS_CUDA_SHARD_RANGES_H_

#include <cstdint>

#include "ops/graph/shard.h"
#include "ops/host_device.h"

namespace facet::ops {

// The ranges of n elements over k shards: the first few have one more than the
// others.
class ShardRanges {
 public:
  ShardRanges(int64_t n, int k)
      : smaller_(ShardRange(n, k, k - 1).size()), larger_(n - k * smaller_) {}

  FACET_HOST_DEVICE int64_t begin(int64_t shard) const {
    return shard * smaller_ + (shard < larger_ ? shard : larger_);
  }
  FACET_HOST_DEVICE int64_t size(int64_t shard) const {
    return smaller_ + (shard < larger_ ? 1 : 0);
  }

 private:
  int64_t smaller_;  // Elements.
  int64_t larger_;   // Shards.
};

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_SHARD_RANGES_H_
