// The attribute "eps" of ops that divide rows by their norms.
#ifndef FACET_OPS_L2_NORMALIZE_EPS_ATTRIBUTE_H_
#define FACET_OPS_L2_NORMALIZE_EPS_ATTRIBUTE_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/op_def.h"

namespace facet::ops {

inline AttributeSpec EpsAttribute() {
  return {"eps", 1e-12, false, "least norm of a row that is divided by"};
}

inline absl::Status CheckEps(const Attributes& attributes) {
  const double eps = attributes.Float("eps");
  if (eps > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("attribute \"eps\" is ", eps,
                   "; it must be above 0, as it divides rows of zeros"));
}

}  // namespace facet::ops

#endif  // FACET_OPS_L2_NORMALIZE_EPS_ATTRIBUTE_H_
