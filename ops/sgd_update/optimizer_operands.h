// What every op that takes an SGD step has in common: its attributes, the state
// it updates (a weight and its momentum, each stored as float32 or bfloat16),
// and the scalars (learning_rate, [gradient_scale], [skip]) that end its
// inputs.
#ifndef FACET_OPS_SGD_UPDATE_OPTIMIZER_OPERANDS_H_
#define FACET_OPS_SGD_UPDATE_OPTIMIZER_OPERANDS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/expect_stored.h"
#include "ops/expect_type.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {

inline std::vector<AttributeSpec> SgdAttributes() {
  return {{"momentum", 0.9, false, "what remains of the last step, [0, 1)"},
          {"weight_decay", 5e-4, false, "added to the gradient, times weight"}};
}

// Of the ops that write a weight. A bfloat16 is rounded at random
// (stochastic_rounding.h).
inline AttributeSpec RoundingKeyAttribute() {
  return {"key", int64_t{0}, false,
          "tells the random rounding of a bfloat16 weight from that of others"};
}

inline std::vector<AttributeSpec> UpdateAttributes() {
  std::vector<AttributeSpec> attributes = SgdAttributes();
  attributes.push_back(RoundingKeyAttribute());
  return attributes;
}

// Of the ops that can take one update in several steps, by the mean of their
// gradients (AccumulatingSgd in sgd_scalars.h).
inline AttributeSpec AccumulateAttribute() {
  return {"accumulate", int64_t{1}, false,
          "steps that make one update together: the momentum gathers their "
          "gradients, in the last the weight follows"};
}

inline absl::Status CheckAccumulate(const OpCall& call) {
  const int64_t accumulate = call.attributes.Int("accumulate");
  if (accumulate >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("attribute \"accumulate\" is ", accumulate, "; at least 1"));
}

inline absl::Status CheckState(const TensorType& weight,
                               const TensorType& momentum) {
  if (!IsStored(weight.dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight is ", weight.ToString(),
                     "; expected float32 or bfloat16: what is updated must "
                     "keep small steps"));
  }
  if (!IsStored(momentum.dtype) || momentum.shape != weight.shape) {
    return absl::InvalidArgumentError(
        absl::StrCat("momentum is ", momentum.ToString(),
                     "; expected float32 or bfloat16, of the shape of weight, ",
                     weight.ToString()));
  }
  return absl::OkStatus();
}

// Bytes of an update of all of the state: both are read and written.
inline double StateBytes(const TensorType& weight, const TensorType& momentum) {
  return 2.0 * static_cast<double>(weight.size_bytes()) +
         2.0 * static_cast<double>(momentum.size_bytes());
}

// Checks those attributes and the scalar inputs from `first_scalar` on.
inline absl::Status CheckSgdOperands(const OpCall& call, size_t first_scalar) {
  static constexpr absl::string_view kNames[] = {"learning_rate",
                                                 "gradient_scale", "skip"};
  for (size_t i = first_scalar; i < call.inputs.size(); ++i) {
    RETURN_IF_ERROR(ExpectScalar(kNames[i - first_scalar], call.inputs[i]));
  }
  const double momentum = call.attributes.Float("momentum");
  if (!(momentum >= 0 && momentum < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"momentum\" is ", momentum, "; it must be in [0, 1)"));
  }
  const double weight_decay = call.attributes.Float("weight_decay");
  if (!(weight_decay >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute \"weight_decay\" is ", weight_decay,
                     "; it must be 0 or more"));
  }
  return absl::OkStatus();
}

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_OPTIMIZER_OPERANDS_H_
