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

// A warp adds up the squares of its row and scales the row, which its lanes
// have in registers (kVectors of kWidth elements each) or, where kVectors is 0,
// read again, out of the cache. Moves every element once; 3 operations.
template <int kWidth, int kVectors, typename X>
__global__ void __launch_bounds__(kBlockThreads)
    NormalizeRowsKernel(int64_t columns, float eps, DeviceSpan<const X> x,
                        DeviceSpan<float> y) {
  const int64_t first = RowOfWarp() * columns;
  if (first >= x.size()) return;
  const DeviceSpan<const X> from = x.Part(first, columns);
  const DeviceSpan<float> to = y.Part(first, columns);
  float square = 0;
  auto add = [&](const Vector<X, kWidth>& stored) {
    for (int k = 0; k < kWidth; ++k) {
      square += ToFloat(stored.element[k]) * ToFloat(stored.element[k]);
    }
  };
  auto scale = [&](int64_t i, const Vector<X, kWidth>& stored, float factor) {
    Vector<float, kWidth> scaled;
    for (int k = 0; k < kWidth; ++k) {
      scaled.element[k] = ToFloat(stored.element[k]) * factor;
    }
    to.template StoreVector<kWidth>(i, scaled);
  };
  if constexpr (kVectors > 0) {
    Vector<X, kWidth> row[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      row[v] = from.template LoadVector<kWidth>(RowVector<kWidth>(v));
    }
    for (int v = 0; v < kVectors; ++v) add(row[v]);
    const RowNorm norm = RowNormOf(ReduceWarp(square, Sum{}), eps);
    for (int v = 0; v < kVectors; ++v) {
      scale(RowVector<kWidth>(v), row[v], norm.inverse);
    }
  } else {
    auto load = [&](int64_t i) { return from.template LoadVector<kWidth>(i); };
    ForRowVectors<kWidth>(columns, [&](int64_t i) { add(load(i)); });
    const RowNorm norm = RowNormOf(ReduceWarp(square, Sum{}), eps);
    ForRowVectors<kWidth>(columns,
                          [&](int64_t i) { scale(i, load(i), norm.inverse); });
  }
}

}  // namespace internal

// y = x with rows of length 1. X: how x is stored, float or BHalf.
template <typename X>
absl::Status NormalizeRows(const CudaContext& cuda, int64_t columns, float eps,
                           DeviceSpan<const X> x, DeviceSpan<float> y) {
  if (x.size() == 0) return absl::OkStatus();
  return VisitRowShape(columns, [&](auto width, auto vectors) {
    return Launch(internal::NormalizeRowsKernel<decltype(width)::value,
                                                decltype(vectors)::value, X>,
                  WarpPerRow(x.size() / columns), cuda.stream(), columns, eps,
                  x, y);
  });
}

}  // namespace facet::ops

#endif  // FACET_OPS_L2_NORMALIZE_DEVICE_NORMALIZE_H_
