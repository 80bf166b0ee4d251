// Prefix sums over the threads of a block.
#ifndef FACET_OPS_CUDA_SCAN_H_
#define FACET_OPS_CUDA_SCAN_H_

#include <cub/block/block_scan.cuh>

#include "ops/cuda/cuda_context.h"

namespace facet::ops {

template <typename T>
struct BlockScan {
  T before;  // The sum over the threads below the calling one.
  T total;   // Over all.
};

// All threads of the block, kBlockThreads of them, call it.
template <typename T>
__device__ inline BlockScan<T> ScanBlock(T value) {
  using Scan = cub::BlockScan<T, kBlockThreads>;
  __shared__ typename Scan::TempStorage storage;
  __syncthreads();  // It may still be read for the scan before.
  BlockScan<T> scan;
  Scan(storage).ExclusiveSum(value, scan.before, scan.total);
  return scan;
}

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_SCAN_H_
