// Formulas (ops/batch_norm/formulas.h) of batch norm with PReLU behind it.
#ifndef FACET_OPS_BATCH_NORM_PRELU_FORMULAS_H_
#define FACET_OPS_BATCH_NORM_PRELU_FORMULAS_H_

#include "ops/batch_norm/formulas.h"
#include "ops/host_device.h"
#include "ops/prelu/prelu.h"

namespace facet::ops {

// operands: sum, square_sum, scale, bias, alpha.
struct BatchNormPreluFormula {
  static constexpr int kInputs = 1, kConstants = 4, kSums = 0;
  static constexpr bool kStores = true;

  template <typename Operands>
  FACET_HOST_DEVICE static void MakeConstants(const Operands& operands,
                                              double count, double eps,
                                              double* constants) {
    BatchNormFormula::MakeConstants(operands, count, eps, constants);
    constants[3] = operands(4);
  }
  template <typename V>
  FACET_HOST_DEVICE V operator()(const V* constants, V*, V x) const {
    return PreluValue(NormaliseValue(x, constants), constants[3]);
  }
};

// operands: sum, square_sum, scale, bias, alpha.
struct BatchNormPreluGradStatisticsFormula {
  static constexpr int kInputs = 2, kConstants = 5, kSums = 3;
  static constexpr bool kStores = false;

  template <typename Operands>
  FACET_HOST_DEVICE static void MakeConstants(const Operands& operands,
                                              double count, double eps,
                                              double* constants) {
    const Moments moments = MomentsOf(operands(0), operands(1), count);
    NormaliseConstants(moments, eps, operands(2), operands(3), constants);
    constants[3] = operands(4);
    constants[4] = InverseStddev(moments.variance, eps);
  }
  template <typename V>
  FACET_HOST_DEVICE V operator()(const V* constants, V* sums, V dy, V x) const {
    const V value = NormaliseValue(x, constants);
    const V gradient = PreluGradient(dy, value, constants[3]);
    sums[0] += gradient;
    sums[1] += gradient * ((x - constants[0]) * constants[4]);
    sums[2] += PreluAlphaGradient(dy, value);
    return x;
  }
};

// operands: sum, square_sum, scale, bias, alpha, bias_grad, scale_grad.
struct BatchNormPreluGradInputFormula {
  static constexpr int kInputs = 2, kConstants = 6, kSums = 0;
  static constexpr bool kStores = true;

  // The first four are NormaliseGradient's, of which two are NormaliseValue's.
  template <typename Operands>
  FACET_HOST_DEVICE static void MakeConstants(const Operands& operands,
                                              double count, double eps,
                                              double* constants) {
    NormaliseGradientConstants(MomentsOf(operands(0), operands(1), count),
                               count, eps, operands(2), operands(5),
                               operands(6), constants);
    constants[4] = operands(3);
    constants[5] = operands(4);
  }
  template <typename V>
  FACET_HOST_DEVICE V operator()(const V* constants, V*, V dy, V x) const {
    const V normalise[] = {constants[0], constants[1], constants[4]};
    const V gradient =
        PreluGradient(dy, NormaliseValue(x, normalise), constants[5]);
    return NormaliseGradient(gradient, x, constants);
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_PRELU_FORMULAS_H_
