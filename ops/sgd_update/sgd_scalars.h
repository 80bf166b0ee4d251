// How the kernels that take an SGD step read its scalars.
#ifndef FACET_OPS_SGD_UPDATE_SGD_SCALARS_H_
#define FACET_OPS_SGD_UPDATE_SGD_SCALARS_H_

#include <optional>

#include "ops/graph/every.h"
#include "ops/kernel.h"
#include "ops/sgd_update/sgd.h"

namespace facet::ops {

// The attributes; the scalars come with each run, as factors.
inline SgdStep SgdConstants(const Attributes& attributes) {
  SgdStep step;
  step.momentum = static_cast<float>(attributes.Float("momentum"));
  step.weight_decay = static_cast<float>(attributes.Float("weight_decay"));
  return step;
}

// Of the ops with the attribute accumulate. One update in several steps, in
// which the weight stays as it is: the first makes the velocity of it, all add
// their part of the mean gradient, and the last lets the weight go by it.
struct AccumulatingSgd {
  SgdStep constants;
  int64_t accumulate = 1;

  SgdStep At(int64_t step) const {
    SgdStep result = constants;
    result.gradient_scale /= static_cast<float>(accumulate);
    if (!StartsRound(accumulate, step)) {
      result.momentum = 1;
      result.weight_decay = 0;
    }
    if (!EndsRound(accumulate, step)) result.learning_rate = 0;
    return result;
  }
};

inline AccumulatingSgd AccumulatingSgdOf(const Attributes& attributes) {
  return {SgdConstants(attributes), attributes.Int("accumulate")};
}

// KernelDef::depends_on_step of an op with these attributes, whose first inputs
// are weight and momentum: they are rounded by random numbers of the step, and
// a round of accumulation has steps of its own.
inline bool SgdDependsOnStep(const KernelSpec& spec) {
  return spec.inputs[0].dtype != DataType::kFloat32 ||
         spec.inputs[1].dtype != DataType::kFloat32 ||
         spec.attributes.Int("accumulate") > 1;
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
  constants.learning_rate *= scalar(0, 0);
  constants.gradient_scale *= scalar(1, 1);
  return constants;
}

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_SGD_SCALARS_H_
