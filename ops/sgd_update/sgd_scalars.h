// How the kernels that take an SGD step read its scalars.
#ifndef FACET_OPS_SGD_UPDATE_SGD_SCALARS_H_
#define FACET_OPS_SGD_UPDATE_SGD_SCALARS_H_

#include <optional>

#include "ops/kernel.h"
#include "ops/sgd_update/sgd.h"

namespace facet::ops {

// The attributes; the scalars come with each run.
inline SgdStep SgdConstants(const Attributes& attributes) {
  SgdStep step;
  step.momentum = static_cast<float>(attributes.Float("momentum"));
  step.weight_decay = static_cast<float>(attributes.Float("weight_decay"));
  return step;
}

// `constants` with the scalar inputs, of which learning_rate is input
// `first_scalar`; nothing if they say that this step is skipped.
inline std::optional<SgdStep> SgdOfThisRun(SgdStep constants,
                                           const KernelContext& context,
                                           size_t first_scalar) {
  auto scalar = [&](size_t i, float absent) {
    const size_t input = first_scalar + i;
    return input < context.inputs.size() ? *context.inputs[input].as<float>()
                                         : absent;
  };
  if (scalar(2, 0) != 0) return std::nullopt;
  constants.learning_rate = scalar(0, 0);
  constants.gradient_scale = scalar(1, 1);
  return constants;
}

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_SGD_SCALARS_H_
