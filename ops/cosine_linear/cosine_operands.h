// The operands of cosines: x [N, D] and class weights w [C, D].
#ifndef FACET_OPS_COSINE_LINEAR_COSINE_OPERANDS_H_
#define FACET_OPS_COSINE_LINEAR_COSINE_OPERANDS_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/expect_stored.h"
#include "ops/expect_type.h"
#include "ops/status_macros.h"

namespace facet::ops {

inline absl::Status CheckClassWeight(const TensorType& w) {
  return ExpectStored("w", w, 2, "[C, D]");
}

inline absl::Status CheckCosineOperands(const TensorType& x,
                                        const TensorType& w) {
  RETURN_IF_ERROR(CheckClassWeight(w));
  RETURN_IF_ERROR(ExpectType("x", x, DataType::kFloat32, 2, "[N, D]"));
  if (x.shape[1] == w.shape[1]) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("x is ", x.ToString(), " but w is ", w.ToString(),
                   "; both must have the same number of columns, D"));
}

}  // namespace facet::ops

#endif  // FACET_OPS_COSINE_LINEAR_COSINE_OPERANDS_H_
