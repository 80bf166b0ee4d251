// Rows of a variable, along its first dimension, and what of them a device's
// share has. A scalar is one row.
#ifndef FACET_RUNTIME_VARIABLE_ROWS_H_
#define FACET_RUNTIME_VARIABLE_ROWS_H_

#include <cstdint>

#include "ops/graph/shape.h"
#include "ops/kernel.h"

namespace facet::runtime {

inline int64_t NumRows(const ops::Shape& shape) {
  return shape.rank() == 0 ? 1 : shape[0];
}

struct RowsOfShare {
  ops::TensorSlice slice;  // As if the rows were the whole tensor.
  int64_t first_byte = 0;  // In the share; what follows is contiguous.
};

// What of rows [begin, end) is in the row-major share. No elements: nothing.
RowsOfShare RowsInShare(const ops::TensorSlice& share, int64_t begin,
                        int64_t end);

// Copies between a whole tensor and a share of it, both row-major on the host.
void ShareToWhole(const ops::TensorSlice& slice, const char* share,
                  char* whole);
// The same of a float32 share that is a part of a sum: adds it.
void AddShareToWhole(const ops::TensorSlice& slice, const char* share,
                     char* whole);
void WholeToShare(const ops::TensorSlice& slice, const char* whole,
                  char* share);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_VARIABLE_ROWS_H_
