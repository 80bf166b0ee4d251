// The part of CUB's cub::BlockScan that Facet calls, on the host: by the
// emulated warps and barriers, of which CUB's own code has other ones in
// assembly.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_CUB_BLOCK_BLOCK_SCAN_CUH_
#define FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_CUB_BLOCK_BLOCK_SCAN_CUH_

#include "cuda_runtime.h"

namespace cub {

// Over the threads of a block of kThreads, a multiple of 32 here.
template <typename T, int kThreads>
class BlockScan {
 public:
  static_assert(kThreads % 32 == 0);
  // In shared memory. Between two uses the block must meet at a barrier.
  struct TempStorage {
    T of_warp[kThreads / 32];
  };

  explicit BlockScan(TempStorage& storage) : of_warp_(storage.of_warp) {}

  // All threads of the block call it. `before`: the sum over those below the
  // calling one; `total`: over all.
  void ExclusiveSum(T value, T& before, T& total) {
    const unsigned int lane = threadIdx.x % 32;
    const unsigned int warp = threadIdx.x / 32;
    T sum = value;  // Of the warp's lanes up to this one.
    for (unsigned int distance = 1; distance < 32; distance *= 2) {
      const T below = __shfl_up_sync(0xffffffffu, sum, distance);
      if (lane >= distance) sum += below;
    }
    if (lane == 31) of_warp_[warp] = sum;
    __syncthreads();
    before = sum - value;
    total = T{};
    for (unsigned int w = 0; w < kThreads / 32; ++w) {
      if (w < warp) before += of_warp_[w];
      total += of_warp_[w];
    }
  }

 private:
  T* const of_warp_;
};

}  // namespace cub

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_CUB_BLOCK_BLOCK_SCAN_CUH_
