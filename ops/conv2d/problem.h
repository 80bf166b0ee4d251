// A convolution to compute, or one of its gradients: what the kernels of every
// kind of device start from.
#ifndef FACET_OPS_CONV2D_PROBLEM_H_
#define FACET_OPS_CONV2D_PROBLEM_H_

#include <array>
#include <cstdint>

#include "ops/kernel.h"
#include "ops/may_round_attribute.h"

namespace facet::ops {

enum class ConvolutionDirection { kForward, kGradInput, kGradWeight };

// The roles are those of the forward convolution: x images, w kernel, y
// result; a gradient computes the gradient of x or w in its place.
struct ConvolutionProblem {
  ConvolutionDirection direction = ConvolutionDirection::kForward;
  // Local shares, as the caller holds them.
  TensorSlice x;  // [N, C, H, W]
  TensorSlice w;  // [O, C, KH, KW], row-major
  TensorSlice y;  // [N, O, OH, OW]
  int64_t stride = 1;
  int64_t padding = 0;
  bool may_round = false;  // ops/may_round_attribute.h
};

// From the roles x, w, y to the order of the direction's op, input, input and
// output, and the same from that order to the roles: two change places.
template <typename T>
std::array<T, 3> ExchangeRoles(ConvolutionDirection direction, T first,
                               T second, T third) {
  switch (direction) {
    case ConvolutionDirection::kGradInput:
      return {third, second, first};  // dy, w, dx.
    case ConvolutionDirection::kGradWeight:
      return {first, third, second};  // x, dy, dw.
    default:
      return {first, second, third};
  }
}

// Of the direction's op.
inline ConvolutionProblem ProblemOf(ConvolutionDirection direction,
                                    const KernelSpec& spec) {
  const auto [x, w, y] =
      ExchangeRoles(direction, spec.inputs[0], spec.inputs[1], spec.outputs[0]);
  return {direction,
          x,
          w,
          y,
          spec.attributes.Int("stride"),
          spec.attributes.Int("padding"),
          spec.attributes.Bool(kMayRound)};
}

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_PROBLEM_H_
