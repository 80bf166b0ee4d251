#include "runtime/variable_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "glog/logging.h"

namespace facet::runtime {
namespace {

ops::Shape WithRows(const ops::Shape& shape, int64_t rows) {
  std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end());
  dims[0] = rows;
  return ops::Shape(std::move(dims));
}

// copy(offset in the whole, offset in the share, bytes) for each run of
// elements that lie side by side in both.
template <typename Copy>
void ForRuns(const ops::TensorSlice& slice, const Copy& copy) {
  const int64_t element = ops::SizeInBytes(slice.dtype);
  const int rank = slice.shape.rank();
  if (slice.num_elements() == 0) return;
  if (rank == 0) {
    copy(0, 0, element);
    return;
  }
  const int64_t row = slice.shape[rank - 1];
  const int64_t rows = slice.num_elements() / row;
  for (int64_t r = 0; r < rows; ++r) {
    // Where row r of the share begins in the whole.
    int64_t position = slice.offset[rank - 1];
    int64_t stride = slice.global_shape[rank - 1];
    int64_t rest = r;
    for (int d = rank - 2; d >= 0; --d) {
      position += (slice.offset[d] + rest % slice.shape[d]) * stride;
      rest /= slice.shape[d];
      stride *= slice.global_shape[d];
    }
    copy(position * element, r * row * element, row * element);
  }
}

}  // namespace

RowsOfShare RowsInShare(const ops::TensorSlice& share, int64_t begin,
                        int64_t end) {
  RowsOfShare rows{share};
  if (share.shape.rank() == 0) {
    if (begin < end) return rows;
    rows.slice.shape = rows.slice.global_shape = ops::Shape{0};
    rows.slice.offset = ops::Shape{0};
    return rows;
  }
  const int64_t offset = share.offset[0];
  const int64_t first = std::clamp(begin, offset, offset + share.shape[0]);
  const int64_t last = std::clamp(end, first, offset + share.shape[0]);
  const int64_t row_bytes =
      share.size_bytes() / std::max<int64_t>(1, share.shape[0]);
  rows.first_byte = (first - offset) * row_bytes;
  rows.slice.shape = WithRows(share.shape, last - first);
  rows.slice.global_shape = WithRows(share.global_shape, end - begin);
  rows.slice.offset = WithRows(share.offset, first - begin);
  return rows;
}

void ShareToWhole(const ops::TensorSlice& slice, const char* share,
                  char* whole) {
  ForRuns(slice, [=](int64_t in_whole, int64_t in_share, int64_t bytes) {
    std::memcpy(whole + in_whole, share + in_share, bytes);
  });
}

void AddShareToWhole(const ops::TensorSlice& slice, const char* share,
                     char* whole) {
  CHECK(slice.dtype == ops::DataType::kFloat32);
  ForRuns(slice, [=](int64_t in_whole, int64_t in_share, int64_t bytes) {
    auto* sums = reinterpret_cast<float*>(whole + in_whole);
    const auto* part = reinterpret_cast<const float*>(share + in_share);
    for (size_t i = 0; i < bytes / sizeof(float); ++i) sums[i] += part[i];
  });
}

void WholeToShare(const ops::TensorSlice& slice, const char* whole,
                  char* share) {
  ForRuns(slice, [=](int64_t in_whole, int64_t in_share, int64_t bytes) {
    std::memcpy(share + in_share, whole + in_whole, bytes);
  });
}

}  // namespace facet::runtime
