#include "ops/graph/data_type.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace facet::ops {
namespace {

constexpr DataType kAll[] = {DataType::kFloat32, DataType::kFloat16,
                             DataType::kBFloat16, DataType::kInt32,
                             DataType::kInt64};

}  // namespace

int64_t SizeInBytes(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat32:
    case DataType::kInt32:
      return 4;
    case DataType::kFloat16:
    case DataType::kBFloat16:
      return 2;
    case DataType::kInt64:
      return 8;
  }
  LOG(FATAL) << "unknown DataType " << static_cast<int>(dtype);
  return 0;
}

absl::string_view DataTypeName(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat32:
      return "float32";
    case DataType::kFloat16:
      return "float16";
    case DataType::kBFloat16:
      return "bfloat16";
    case DataType::kInt32:
      return "int32";
    case DataType::kInt64:
      return "int64";
  }
  LOG(FATAL) << "unknown DataType " << static_cast<int>(dtype);
  return "";
}

absl::StatusOr<DataType> ParseDataType(absl::string_view name) {
  for (DataType dtype : kAll) {
    if (name == DataTypeName(dtype)) return dtype;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown data type \"", name,
                   "\": use float32, float16, bfloat16, int32 or int64"));
}

}  // namespace facet::ops
