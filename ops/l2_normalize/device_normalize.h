// NormalizeRows: l2_normalize of a matrix on the device; cosine_linear
// normalises its class weights by it, too.
#ifndef FACET_OPS_L2_NORMALIZE_DEVICE_NORMALIZE_H_
#define FACET_OPS_L2_NORMALIZE_DEVICE_NORMALIZE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/device_span.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/cuda/warp_per_row.h"
#include "ops/l2_normalize/normalize.h"

namespace facet::ops {
namespace internal {

// A warp adds up the squares of its row, then reads the row again, out of the
// cache. Moves every element twice, once from memory; 3 operations.
template <typename X>
__global__ void __launch_bounds__(kBlockThreads)
    NormalizeRowsKernel(int64_t columns, float eps, DeviceSpan<const X> x,
                        DeviceSpan<float> y) {
  const int64_t first = RowOfWarp() * columns;
  if (first >= x.size()) return;
  const DeviceSpan<const X> from = x.Part(first, columns);
  const DeviceSpan<float> to = y.Part(first, columns);
  float square = 0;
  for (int64_t i = Lane(); i < columns; i += 32) {
    square += from.LoadFloat(i) * from.LoadFloat(i);
  }
  const RowNorm norm = RowNormOf(ReduceWarp(square, Sum{}), eps);
  for (int64_t i = Lane(); i < columns; i += 32) {
    to.Store(i, from.LoadFloat(i) * norm.inverse);
  }
}

}  // namespace internal

// y = x with rows of length 1. X: how x is stored, float or BHalf.
template <typename X>
absl::Status NormalizeRows(const CudaContext& cuda, int64_t columns, float eps,
                           DeviceSpan<const X> x, DeviceSpan<float> y) {
  if (x.size() == 0) return absl::OkStatus();
  return Launch(internal::NormalizeRowsKernel<X>,
                WarpPerRow(x.size() / columns), cuda.stream(), columns, eps, x,
                y);
}

}  // namespace facet::ops

#endif  // FACET_OPS_L2_NORMALIZE_DEVICE_NORMALIZE_H_
