// BlockShares: how one launch does the work of several parts, small tensors
// above all (KernelDef::create_group): the blocks of the grid are dealt to the
// parts in order.
#ifndef FACET_OPS_CUDA_BLOCK_SHARES_H_
#define FACET_OPS_CUDA_BLOCK_SHARES_H_

#include <cstdint>

#include "ops/cuda/launch.h"
#include "ops/host_device.h"

namespace facet::ops {

// Of one launch: four spans of each are within the arguments that a kernel can
// have (Launch checks it).
inline constexpr int kMostParts = 48;

// An argument of such a kernel.
class BlockShares {
 public:
  // The next part's blocks, 1 or more.
  void Add(int64_t blocks) {
    end_[count_] = (count_ > 0 ? end_[count_ - 1] : 0) + blocks;
    ++count_;
  }
  bool full() const { return count_ == kMostParts; }
  bool empty() const { return count_ == 0; }
  LaunchShape shape() const { return {dim3(end_[count_ - 1])}; }

  // What the calling block is for.
  struct Share {
    int part;
    int64_t block;   // Among the part's.
    int64_t blocks;  // That the part has.
  };
  __device__ Share OfThisBlock() const {
    const int64_t block = blockIdx.x;
    int low = 0, high = count_ - 1;  // The first part that ends after it.
    while (low < high) {
      const int middle = (low + high) / 2;
      if (end_[middle] > block) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    const int64_t begin = low > 0 ? end_[low - 1] : 0;
    return {low, block - begin, end_[low] - begin};
  }

 private:
  int count_ = 0;
  int64_t end_[kMostParts] = {};
};

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_BLOCK_SHARES_H_
