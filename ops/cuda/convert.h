// Convert: a tensor's elements in another type. Moves every element once.
#ifndef FACET_OPS_CUDA_CONVERT_H_
#define FACET_OPS_CUDA_CONVERT_H_

#include "absl/status/status.h"
#include "ops/cuda/map.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace internal {

struct Same {
  FACET_HOST_DEVICE float operator()(float x) const { return x; }
};

}  // namespace internal

// y = x, rounded to y's type. Both are floating and in one layout.
inline absl::Status Convert(const CudaContext& context, const TensorView& x,
                            const TensorView& y) {
  return VisitElement(x.dtype(), [&](auto from) {
    return VisitElement(y.dtype(), [&](auto to) {
      return Map(context, internal::Same{}, DeviceSpan<decltype(to)>(y),
                 DeviceSpan<const decltype(from)>(x));
    });
  });
}

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_CONVERT_H_
