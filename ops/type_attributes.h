// The attributes "dtype" and "shape" of ops that make a tensor from nothing.
#ifndef FACET_OPS_TYPE_ATTRIBUTES_H_
#define FACET_OPS_TYPE_ATTRIBUTES_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ops/graph/attributes.h"
#include "ops/graph/graph.h"
#include "ops/status_macros.h"

namespace facet::ops {

// InvalidArgument for an unknown dtype or a dimension below 1.
inline absl::StatusOr<TensorType> TypeFromAttributes(
    const Attributes& attributes) {
  TensorType type;
  ASSIGN_OR_RETURN(type.dtype, ParseDataType(attributes.String("dtype")));
  type.shape = Shape(attributes.Ints("shape"));
  for (int64_t dim : type.shape.dims()) {
    if (dim < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("attribute \"shape\" is ", type.shape.ToString(),
                       "; every dimension must be at least 1"));
    }
  }
  return type;
}

}  // namespace facet::ops

#endif  // FACET_OPS_TYPE_ATTRIBUTES_H_
