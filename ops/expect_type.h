// What an op's infer function expects of its operands, and the InvalidArgument
// that says so: the operand's name, what came, what was expected.
#ifndef FACET_OPS_EXPECT_TYPE_H_
#define FACET_OPS_EXPECT_TYPE_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ops/graph/graph.h"

namespace facet::ops {

// `form` names the dimensions for the message:
//   ExpectType("x", x, DataType::kFloat32, 2, "[N, D]")
// may say "x is int32[8]; expected float32 [N, D]".
inline absl::Status ExpectType(absl::string_view name, const TensorType& type,
                               DataType dtype, int rank,
                               absl::string_view form) {
  if (type.dtype == dtype && type.shape.rank() == rank) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", type.ToString(), "; expected ",
                   DataTypeName(dtype), " ", form));
}

// A float32 scalar.
inline absl::Status ExpectScalar(absl::string_view name,
                                 const TensorType& type) {
  return ExpectType(name, type, DataType::kFloat32, 0, "[], a scalar");
}

// `why` ends the message: "labels is int32[7]; expected int32[8]: one label
// per row of cos".
inline absl::Status ExpectSameType(absl::string_view name,
                                   const TensorType& type,
                                   const TensorType& expected,
                                   absl::string_view why) {
  if (type == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", type.ToString(), "; expected ",
                   expected.ToString(), ": ", why));
}

}  // namespace facet::ops

#endif  // FACET_OPS_EXPECT_TYPE_H_
