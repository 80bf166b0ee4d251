// Map: the elementwise kernel, y[i] = function(x[i]...), in vectors of 16
// bytes. Moves every element once and computes in float.
#ifndef FACET_OPS_CUDA_MAP_H_
#define FACET_OPS_CUDA_MAP_H_

#include <cstdint>

#include "absl/status/status.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/device_span.h"
#include "ops/cuda/element.h"
#include "ops/cuda/launch.h"

namespace facet::ops {
namespace internal {

template <typename Y, int kWidth, typename Function, typename... X>
__device__ inline Vector<Y, kWidth> MapVector(const Function& function,
                                              const Vector<X, kWidth>&... x) {
  Vector<Y, kWidth> y;
  for (int k = 0; k < kWidth; ++k) {
    y.element[k] = FromFloat<Y>(function(ToFloat(x.element[k])...));
  }
  return y;
}

// The narrowest vector among the types, of the widest element.
template <typename... T>
FACET_HOST_DEVICE constexpr int CommonWidth() {
  int width = 16;
  ((width = kVectorWidth<T> < width ? kVectorWidth<T> : width), ...);
  return width;
}

template <typename Function, typename Y, typename... X>
__global__ void __launch_bounds__(kBlockThreads)
    MapKernel(Function function, DeviceSpan<Y> y, DeviceSpan<const X>... x) {
  constexpr int kWidth = CommonWidth<Y, X...>();
  const int64_t vectors = y.size() / kWidth;
  for (int64_t v = GridThread(); v < vectors; v += GridThreads()) {
    y.template StoreVector<kWidth>(
        v * kWidth,
        MapVector<Y, kWidth>(function,
                             x.template LoadVector<kWidth>(v * kWidth)...));
  }
  // The last few, fewer than a vector.
  const int64_t i = vectors * kWidth + GridThread();
  if (i < y.size()) y.StoreFloat(i, function(x.LoadFloat(i)...));
}

}  // namespace internal

// `function`: a FACET_HOST_DEVICE functor of one float per span of x, copied
// to the device. y may be one of the x. All have y's size.
template <typename Function, typename Y, typename... X>
absl::Status Map(const CudaContext& context, const Function& function,
                 DeviceSpan<Y> y, DeviceSpan<const X>... x) {
  if (y.size() == 0) return absl::OkStatus();
  constexpr int kWidth = internal::CommonWidth<Y, X...>();
  LaunchShape shape;
  shape.grid = dim3(context.BlocksFor((y.size() + kWidth - 1) / kWidth));
  return Launch(internal::MapKernel<Function, Y, X...>, shape, context.stream(),
                function, y, x...);
}

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_MAP_H_
