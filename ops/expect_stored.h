// What an op expects of a variable that it takes as it is stored: float32, or
// bfloat16, which its kernel makes float32 while it reads.
#ifndef FACET_OPS_EXPECT_STORED_H_
#define FACET_OPS_EXPECT_STORED_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ops/graph/graph.h"

namespace facet::ops {

inline bool IsStored(DataType dtype) {
  return dtype == DataType::kFloat32 || dtype == DataType::kBFloat16;
}

// `form` names the dimensions for the message, as in ExpectType.
inline absl::Status ExpectStored(absl::string_view name, const TensorType& type,
                                 int rank, absl::string_view form) {
  if (IsStored(type.dtype) && type.shape.rank() == rank) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      name, " is ", type.ToString(), "; expected float32 or bfloat16 ", form));
}

}  // namespace facet::ops

#endif  // FACET_OPS_EXPECT_STORED_H_
