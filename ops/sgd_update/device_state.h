// A weight and its momentum as CUDA kernels find them, each float32 or
// bfloat16. What is bfloat16 is rounded stochastically when it is written. On
// CPUs: stored_state.h.
#ifndef FACET_OPS_SGD_UPDATE_DEVICE_STATE_H_
#define FACET_OPS_SGD_UPDATE_DEVICE_STATE_H_

#include <cstdint>
#include <string>
#include <type_traits>

#include "glog/logging.h"
#include "ops/cuda/device_span.h"
#include "ops/cuda/element.h"
#include "ops/graph/data_type.h"
#include "ops/kernel.h"
#include "ops/stochastic_rounding.h"

namespace facet::ops {

// Calls f(T{}) with the element of a stored dtype, float or BHalf, and returns
// its result.
template <typename F>
auto VisitStoredElement(DataType dtype, F&& f) {
  if (dtype == DataType::kBFloat16) return f(BHalf{});
  CHECK(dtype == DataType::kFloat32) << std::string(DataTypeName(dtype));
  return f(float{});
}

// Calls f(W{}, M{}) with the elements of a weight and its momentum.
template <typename F>
auto VisitDeviceState(const TensorView& weight, const TensorView& momentum,
                      F&& f) {
  return VisitStoredElement(weight.dtype(), [&](auto w) {
    return VisitStoredElement(momentum.dtype(),
                              [&](auto m) { return f(w, m); });
  });
}

// `random` is in [0, 2^16).
template <typename T>
__device__ inline T RoundedTo(float value, uint32_t random) {
  if constexpr (std::is_same_v<T, BHalf>) {
    return {RoundStochastically(value, random)};
  } else {
    return value;
  }
}

// Adjacent elements take a step in float32: step(&weight, &momentum, k) for the
// k-th. `element` is the first one's number in the logical tensor; the kWidth
// of them must be of one rounding group.
template <int kWidth, typename W, typename M, typename Step>
__device__ inline void StepVectors(Vector<W, kWidth>* w, Vector<M, kWidth>* m,
                                   const RandomStream& rounding,
                                   int64_t element, const Step& step) {
  constexpr bool kRounds =
      !std::is_same_v<W, float> || !std::is_same_v<M, float>;
  uint32_t group_word = 0;
  if constexpr (kRounds) {
    group_word = RandomWord(rounding, element / kRoundingGroup);
  }
  const auto lane = static_cast<uint32_t>(element % kRoundingGroup);
  for (int k = 0; k < kWidth; ++k) {
    float new_w = ToFloat(w->element[k]);
    float new_m = ToFloat(m->element[k]);
    step(&new_w, &new_m, k);
    const uint32_t word =
        kRounds ? RoundingWordOfLane(group_word, lane + k) : 0;
    w->element[k] = RoundedTo<W>(new_w, RandomOfWeight(word));
    m->element[k] = RoundedTo<M>(new_m, RandomOfMomentum(word));
  }
}

// The same for elements [i, i + kWidth) of what is stored.
template <int kWidth, typename W, typename M, typename Step>
__device__ inline void UpdateState(const DeviceSpan<W>& weight,
                                   const DeviceSpan<M>& momentum, int64_t i,
                                   const RandomStream& rounding,
                                   int64_t element, const Step& step) {
  Vector<W, kWidth> w = weight.template LoadVector<kWidth>(i);
  Vector<M, kWidth> m = momentum.template LoadVector<kWidth>(i);
  StepVectors<kWidth>(&w, &m, rounding, element, step);
  weight.template StoreVector<kWidth>(i, w);
  momentum.template StoreVector<kWidth>(i, m);
}

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_DEVICE_STATE_H_
