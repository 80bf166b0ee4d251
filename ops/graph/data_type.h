// DataType: the element types a tensor may have. Arithmetic on them lives in
// the kernels; the 16-bit C++ types in ops/half.h.
#ifndef FACET_OPS_GRAPH_DATA_TYPE_H_
#define FACET_OPS_GRAPH_DATA_TYPE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace facet::ops {

enum class DataType : uint8_t {
  kFloat32,
  kFloat16,
  kBFloat16,
  kInt32,
  kInt64,
};

// Size of one element in bytes.
int64_t SizeInBytes(DataType dtype);

// "float32", "float16", "bfloat16", "int32", "int64".
absl::string_view DataTypeName(DataType dtype);

// The inverse of DataTypeName. InvalidArgument names the value and what was
// allowed.
absl::StatusOr<DataType> ParseDataType(absl::string_view name);

inline bool IsHalf(DataType dtype) {
  return dtype == DataType::kFloat16 || dtype == DataType::kBFloat16;
}
inline bool IsFloating(DataType dtype) {
  return dtype == DataType::kFloat32 || IsHalf(dtype);
}

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_DATA_TYPE_H_
