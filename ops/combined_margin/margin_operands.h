// What ops with a margin have in common: their attributes, and cosines with a
// label per row.
#ifndef FACET_OPS_COMBINED_MARGIN_MARGIN_OPERANDS_H_
#define FACET_OPS_COMBINED_MARGIN_MARGIN_OPERANDS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/expect_type.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {

inline std::vector<AttributeSpec> MarginAttributes() {
  return {{"m1", 1.0, false, "the target's angle is multiplied by it"},
          {"m2", 0.5, false, "then added to the target's angle"},
          {"m3", 0.0, false, "subtracted from the target's cosine"},
          {"scale", 64.0, false, "all logits are multiplied by it"},
          {"gradient", std::string("as_arcface_torch"), false,
           "\"as_arcface_torch\": unchanged by the margin; or \"exact\""}};
}

// `cosines`, `labels`: which inputs these are.
inline absl::Status CheckMarginOperands(const OpCall& call, int cosines,
                                        int labels) {
  const TensorType& cos = call.inputs[cosines];
  RETURN_IF_ERROR(ExpectType("cos", cos, DataType::kFloat32, 2, "[N, C]"));
  RETURN_IF_ERROR(ExpectSameType("labels", call.inputs[labels],
                                 {DataType::kInt32, {cos.shape[0]}},
                                 "one label per row of cos"));
  const Attributes& attributes = call.attributes;
  if (!(attributes.Float("scale") > 0)) {
    return absl::InvalidArgumentError(absl::StrCat("attribute \"scale\" is ",
                                                   attributes.Float("scale"),
                                                   "; it must be above 0"));
  }
  if (!(attributes.Float("m1") > 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"m1\" is ", attributes.Float("m1"),
        "; it must be above 0, 1 for no multiplicative angular margin"));
  }
  const std::string& gradient = attributes.String("gradient");
  if (gradient != "as_arcface_torch" && gradient != "exact") {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute \"gradient\" is \"", gradient,
                     "\"; use \"as_arcface_torch\" or \"exact\""));
  }
  return absl::OkStatus();
}

}  // namespace facet::ops

#endif  // FACET_OPS_COMBINED_MARGIN_MARGIN_OPERANDS_H_
