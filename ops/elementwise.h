// The loop of elementwise CPU kernels, over all cores and eight floats wide.
#ifndef FACET_OPS_ELEMENTWISE_H_
#define FACET_OPS_ELEMENTWISE_H_

#include <cstdint>

#include "ops/float8.h"
#include "ops/parallel.h"

namespace facet::ops {

// Fewer elements than this are not worth waking another thread for.
inline constexpr int64_t kElementwiseGrain = 16384;

// Calls step(V{}, i) so that elements [i, i + kLanes<V>) cover [begin, end)
// once: V is Float8, and float for the last few. Element i of what the step
// writes should need only element i of what it reads, as in
//   [&](auto v, int64_t i) {
//     using V = decltype(v);
//     Store<V>(y + i, Load<V>(a + i) + Load<V>(b + i));
//   }
template <typename Step>
void ForElements(int64_t begin, int64_t end, const Step& step) {
  int64_t i = begin;
  for (; i + kLanes<Float8> <= end; i += kLanes<Float8>) step(Float8{}, i);
  for (; i < end; ++i) step(float{}, i);
}

// The same for [0, n) on the device's cores.
template <typename Step>
void ParallelForElements(int64_t n, const Step& step) {
  ParallelFor(n, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    ForElements(begin, end, step);
  });
}

}  // namespace facet::ops

#endif  // FACET_OPS_ELEMENTWISE_H_
