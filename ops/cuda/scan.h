// Prefix sums over the threads of a block.
#ifndef FACET_OPS_CUDA_SCAN_H_
#define FACET_OPS_CUDA_SCAN_H_

#include <cuda_runtime.h>

namespace facet::ops {

template <typename T>
struct BlockScan {
  T before;  // The sum over the threads below the calling one.
  T total;   // Over all.
};

// All threads of the block call it; blockDim.x must be a multiple of 32, y and
// z 1.
template <typename T>
__device__ inline BlockScan<T> ScanBlock(T value) {
  __shared__ T of_warp[32];
  const unsigned int lane = threadIdx.x % 32;
  const unsigned int warp = threadIdx.x / 32;
  T sum = value;  // Of the warp's lanes up to this one.
  for (unsigned int distance = 1; distance < 32; distance *= 2) {
    const T below = __shfl_up_sync(0xffffffffu, sum, distance);
    if (lane >= distance) sum += below;
  }
  __syncthreads();  // of_warp may still be read for the scan before.
  if (lane == 31) of_warp[warp] = sum;
  __syncthreads();
  BlockScan<T> scan = {sum - value, T{}};
  for (unsigned int w = 0; w < blockDim.x / 32; ++w) {
    if (w < warp) scan.before += of_warp[w];
    scan.total += of_warp[w];
  }
  return scan;
}

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_SCAN_H_
