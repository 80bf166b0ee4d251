// Sums and maxima over the threads of a warp and of a block, in an order that
// does not depend on timing.
#ifndef FACET_OPS_CUDA_REDUCE_H_
#define FACET_OPS_CUDA_REDUCE_H_

#include <cuda_runtime.h>

#include "ops/host_device.h"

namespace facet::ops {

struct Sum {
  template <typename T>
  FACET_HOST_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};

// What is not a number stays so.
struct Max {
  template <typename T>
  FACET_HOST_DEVICE T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

// All lanes of the warp call it, and all get the result.
template <typename T, typename Combine>
__device__ inline T ReduceWarp(T value, const Combine& combine) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value = combine(value, __shfl_xor_sync(0xffffffffu, value, distance));
  }
  return value;
}

// All threads of the block call it, and all get the result; blockDim.x must be
// a multiple of 32, y and z 1. `identity`: combine(x, identity) == x.
template <typename T, typename Combine>
__device__ inline T ReduceBlock(T value, const Combine& combine, T identity) {
  __shared__ T of_warp[32];
  const unsigned int lane = threadIdx.x % 32;
  value = ReduceWarp(value, combine);
  __syncthreads();  // of_warp may still be read for the reduction before.
  if (lane == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  return ReduceWarp(lane < blockDim.x / 32 ? of_warp[lane] : identity, combine);
}

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_REDUCE_H_
