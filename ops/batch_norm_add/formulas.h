// Formulas (ops/batch_norm/formulas.h) of batch norm with an addition behind
// it, and of its gradient.
#ifndef FACET_OPS_BATCH_NORM_ADD_FORMULAS_H_
#define FACET_OPS_BATCH_NORM_ADD_FORMULAS_H_

#include "ops/batch_norm/formulas.h"
#include "ops/host_device.h"

namespace facet::ops {

struct BatchNormAddFormula : BatchNormFormula {
  static constexpr int kInputs = 2, kSums = 2;

  template <typename V>
  FACET_HOST_DEVICE V operator()(const V* constants, V* sums, V x,
                                 V addend) const {
    const V y = NormaliseValue(x, constants) + addend;
    sums[0] += y;
    sums[1] += y * y;
    return y;
  }
};

struct BatchNormGradInputAddFormula : BatchNormGradInputFormula {
  static constexpr int kInputs = 3;

  template <typename V>
  FACET_HOST_DEVICE V operator()(const V* constants, V*, V dy, V x,
                                 V addend) const {
    return NormaliseGradient(dy, x, constants) + addend;
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_ADD_FORMULAS_H_
