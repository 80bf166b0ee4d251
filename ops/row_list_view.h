// How kernels walk over a row list (row_list.h).
#ifndef FACET_OPS_ROW_LIST_VIEW_H_
#define FACET_OPS_ROW_LIST_VIEW_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/graph/shard.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {

// Starts to load a row.
template <typename T>
void PrefetchRow(const T* row, int64_t columns) {
  constexpr int64_t kOfLine = 64 / sizeof(T);
  for (int64_t i = 0; i < columns; i += kOfLine) __builtin_prefetch(row + i);
}

class RowListView {
 public:
  // `matrix`: the rows that the list names, whole or this device's share.
  RowListView(const TensorView& rows, const TensorSlice& matrix)
      : rows_(rows.as<int32_t>()),
        first_group_(rows.slice.offset[0]),
        groups_(static_cast<int>(rows.slice.global_shape[0])),
        capacity_(rows.shape()[1]),
        count_(rows.slice.num_elements()),
        matrix_rows_(matrix.global_shape[0]),
        matrix_begin_(matrix.offset[0]),
        matrix_size_(matrix.shape[0]) {}

  // Entries on this device, padding included.
  int64_t count() const { return count_; }

  // Calls body(entry, row), which returns a Status, for entries [begin, end):
  // `row` is a row of this device's share of the matrix, or -1 for padding.
  // Before that, prefetch(row) for rows that come soon: listed rows lie apart,
  // where the processor does not foresee them. Internal if the list is not one
  // of this matrix.
  template <typename Prefetch, typename Body>
  absl::Status ForEntries(int64_t begin, int64_t end, const Prefetch& prefetch,
                          const Body& body) const {
    while (begin < end) {
      const int64_t group = begin / capacity_;
      const Range range = ShardRange(matrix_rows_, groups_,
                                     static_cast<int>(first_group_ + group));
      const int64_t first = range.begin - matrix_begin_;
      // The rows of the group that are on this device: all.
      const int64_t size =
          first < 0 ? 0 : std::min(range.size(), matrix_size_ - first);
      const int64_t stop = std::min(end, (group + 1) * capacity_);
      for (; begin < stop; ++begin) {
        if (begin + kAhead < stop) {
          const int64_t soon = rows_[begin + kAhead];
          if (soon >= 0 && soon < size) prefetch(first + soon);
        }
        const int64_t row = rows_[begin];
        if (row < -1 || row >= size) {
          return absl::InternalError(
              absl::StrCat("the list names row ", row, " of the ", size,
                           " of group ", first_group_ + group));
        }
        RETURN_IF_ERROR(body(begin, row < 0 ? int64_t{-1} : first + row));
      }
    }
    return absl::OkStatus();
  }

  // Calls body(begin, end) for the ranges of entries that are padding.
  template <typename Body>
  void ForPadding(const Body& body) const {
    for (int64_t begin = 0; begin < count_; begin += capacity_) {
      const int64_t end = begin + capacity_;
      int64_t used = end;
      while (used > begin && rows_[used - 1] < 0) --used;
      if (used < end) body(used, end);
    }
  }

 private:
  static constexpr int64_t kAhead = 2;
  const int32_t* const rows_;
  const int64_t first_group_;
  const int groups_;
  const int64_t capacity_;
  const int64_t count_;
  const int64_t matrix_rows_, matrix_begin_, matrix_size_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_ROW_LIST_VIEW_H_
