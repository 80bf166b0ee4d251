// Row lists: which rows of a matrix [C, D] an op works on, int32 [G, K].
//
// The rows of the matrix fall into G groups, the ranges ShardRange(C, G, g).
// Line g of the list has the rows of group g, counted from the group's first
// row: distinct, ascending, then -1 up to the end. What belongs to the listed
// rows is a matrix of G * K rows in this order, where those of -1 are padding.
//
// Example, C = 5, G = 2, K = 2: [[0, 2], [1, -1]] are the rows 0, 2 and 4 (the
// groups are rows 0 to 2 and 3 to 4), and row 3 of the result is padding.
//
// On G devices, each has the rows of one group and one line of the list; on any
// other number of devices all have all. This file is for definitions; kernels:
// row_list_view.h.
#ifndef FACET_OPS_ROW_LIST_H_
#define FACET_OPS_ROW_LIST_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/expect_type.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {

inline absl::Status CheckRowList(const TensorType& rows) {
  return ExpectType("rows", rows, DataType::kInt32, 2,
                    "[G, K], K rows of each of G groups");
}

// The list fits a matrix whose rows it names.
inline absl::Status CheckRowList(const TensorType& rows,
                                 const TensorType& matrix) {
  RETURN_IF_ERROR(CheckRowList(rows));
  if (rows.shape[0] <= matrix.shape[0]) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("rows is ", rows.ToString(), ": more groups than ",
                   matrix.ToString(), " has rows"));
}

// What belongs to the listed rows: in float32, however the matrix is stored.
inline TensorType ListedRows(const TensorType& rows, const TensorType& matrix) {
  return {DataType::kFloat32, {rows.shape.num_elements(), matrix.shape[1]}};
}

// Everything on every device; and `by_group` if each device has one group.
inline std::vector<Signature> RowListSignatures(const TensorType& rows,
                                                int num_devices,
                                                const Signature& by_group) {
  const Signature whole =
      Uniform(static_cast<int>(by_group.inputs.size()),
              static_cast<int>(by_group.outputs.size()), Sbp::B());
  if (rows.shape[0] != num_devices) return {whole};
  return {whole, by_group};
}

}  // namespace facet::ops

#endif  // FACET_OPS_ROW_LIST_H_
