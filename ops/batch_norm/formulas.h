// How the batch norm ops compute: one pass over activations, with constants per
// group and channel that are made before it. A formula is a type with
//
//   kInputs     activations that come in: the op's first inputs
//   kStores     whether an activation comes out: the op's first output
//   kConstants  per channel, made in double by
//     static void MakeConstants(const Operands& operands, double count,
//                               double eps, double* constants);
//               of the op's other inputs (operands(0), operands(1), ... of
//               this channel) and the group's number of values per channel
//   kSums       sums over a channel's values that come out, [G, C] each
//   V operator()(const V* constants, V* sums, V... inputs) const
//               the result of an element; adds to the sums
//
// V: float, or a vector of floats. What runs them: grouped_cpu.h and
// grouped_cuda.h.
#ifndef FACET_OPS_BATCH_NORM_FORMULAS_H_
#define FACET_OPS_BATCH_NORM_FORMULAS_H_

#include "ops/batch_norm/moments.h"
#include "ops/host_device.h"

namespace facet::ops {

struct BatchNormStatisticsFormula {
  static constexpr int kInputs = 1, kConstants = 0, kSums = 2;
  static constexpr bool kStores = false;

  template <typename Operands>
  FACET_HOST_DEVICE static void MakeConstants(const Operands&, double, double,
                                              double*) {}
  template <typename V>
  FACET_HOST_DEVICE V operator()(const V*, V* sums, V x) const {
    sums[0] += x;
    sums[1] += x * x;
    return x;
  }
};

struct NormaliseFormula {
  static constexpr int kInputs = 1, kConstants = 3, kSums = 0;
  static constexpr bool kStores = true;

  template <typename V>
  FACET_HOST_DEVICE V operator()(const V* constants, V*, V x) const {
    return NormaliseValue(x, constants);
  }
};

// NormaliseValue's constants.
FACET_HOST_DEVICE inline void NormaliseConstants(const Moments& moments,
                                                 double eps, float scale,
                                                 float bias,
                                                 double* constants) {
  constants[0] = moments.mean;
  constants[1] = scale * InverseStddev(moments.variance, eps);
  constants[2] = bias;
}

// operands: sum, square_sum, scale, bias.
struct BatchNormFormula : NormaliseFormula {
  template <typename Operands>
  FACET_HOST_DEVICE static void MakeConstants(const Operands& operands,
                                              double count, double eps,
                                              double* constants) {
    NormaliseConstants(MomentsOf(operands(0), operands(1), count), eps,
                       operands(2), operands(3), constants);
  }
};

// operands: running_mean, running_var, scale, bias.
struct BatchNormInferenceFormula : NormaliseFormula {
  template <typename Operands>
  FACET_HOST_DEVICE static void MakeConstants(const Operands& operands, double,
                                              double eps, double* constants) {
    NormaliseConstants({operands(0), operands(1)}, eps, operands(2),
                       operands(3), constants);
  }
};

// operands: sum, square_sum. constants: mean, 1 / sqrt(var + eps).
struct BatchNormGradStatisticsFormula {
  static constexpr int kInputs = 2, kConstants = 2, kSums = 2;
  static constexpr bool kStores = false;

  template <typename Operands>
  FACET_HOST_DEVICE static void MakeConstants(const Operands& operands,
                                              double count, double eps,
                                              double* constants) {
    const Moments moments = MomentsOf(operands(0), operands(1), count);
    constants[0] = moments.mean;
    constants[1] = InverseStddev(moments.variance, eps);
  }
  template <typename V>
  FACET_HOST_DEVICE V operator()(const V* constants, V* sums, V dy, V x) const {
    sums[0] += dy;
    sums[1] += dy * ((x - constants[0]) * constants[1]);
    return x;
  }
};

// dx = scale * r * (dy - bias_grad / n - xhat * scale_grad / n) where
// r = 1 / sqrt(var + eps) and xhat = (x - mean) * r: NormaliseGradient's
// constants.
FACET_HOST_DEVICE inline void NormaliseGradientConstants(
    const Moments& moments, double count, double eps, float scale,
    float bias_grad, float scale_grad, double* constants) {
  const double r = InverseStddev(moments.variance, eps);
  const double factor = scale * r;
  constants[0] = moments.mean;
  constants[1] = factor;
  constants[2] = factor * r * scale_grad / count;
  constants[3] = factor * bias_grad / count;
}

// operands: sum, square_sum, scale, bias_grad, scale_grad.
struct BatchNormGradInputFormula {
  static constexpr int kInputs = 2, kConstants = 4, kSums = 0;
  static constexpr bool kStores = true;

  template <typename Operands>
  FACET_HOST_DEVICE static void MakeConstants(const Operands& operands,
                                              double count, double eps,
                                              double* constants) {
    NormaliseGradientConstants(MomentsOf(operands(0), operands(1), count),
                               count, eps, operands(2), operands(3),
                               operands(4), constants);
  }
  template <typename V>
  FACET_HOST_DEVICE V operator()(const V* constants, V*, V dy, V x) const {
    return NormaliseGradient(dy, x, constants);
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_FORMULAS_H_
