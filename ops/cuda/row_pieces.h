// How kernels walk over a matrix whose rows may be few and very long (16
// images, a million classes) or many and short: a block of threads takes a
// piece of one row.
#ifndef FACET_OPS_CUDA_ROW_PIECES_H_
#define FACET_OPS_CUDA_ROW_PIECES_H_

#include <cstdint>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/host_device.h"

namespace facet::ops {

// An argument of such a kernel. What is combined over a row piece by piece, in
// order, depends on the shape alone.
struct RowPieces {
  // Of a piece: 16 loads per thread.
  static constexpr int64_t kColumns = 16 * kBlockThreads;

  int64_t rows, columns;

  FACET_HOST_DEVICE int64_t per_row() const {
    return (columns + kColumns - 1) / kColumns;
  }
  LaunchShape shape() const { return {dim3(rows * per_row())}; }

  // Those of the calling block.
  __device__ int64_t row() const { return blockIdx.x / per_row(); }
  __device__ int64_t first_column() const {
    return blockIdx.x % per_row() * kColumns;
  }
  __device__ int64_t end_column() const {
    const int64_t end = first_column() + kColumns;
    return end < columns ? end : columns;
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_ROW_PIECES_H_
