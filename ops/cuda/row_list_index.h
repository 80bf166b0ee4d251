// RowListIndex: which row of a device's share of a matrix an entry of a row
// list (ops/row_list.h) names, in a kernel. On CPUs: ops/row_list_view.h.
#ifndef FACET_OPS_CUDA_ROW_LIST_INDEX_H_
#define FACET_OPS_CUDA_ROW_LIST_INDEX_H_

#include <cstdint>

#include "ops/cuda/device_span.h"
#include "ops/cuda/shard_ranges.h"
#include "ops/host_device.h"
#include "ops/kernel.h"

namespace facet::ops {

class RowListIndex {
 public:
  // What Row returns where there is none. The host does not see the list: a
  // kernel that computes from rows makes kNotThere NaN, one that updates them
  // leaves it out.
  static constexpr int64_t kPadding = -1;
  static constexpr int64_t kNotThere = -2;

  // `matrix`: the rows that the list names, whole or this device's share.
  RowListIndex(const TensorSlice& rows, const TensorSlice& matrix)
      : groups_(matrix.global_shape[0], static_cast<int>(rows.global_shape[0])),
        first_group_(rows.offset[0]),
        capacity_(rows.shape[1]),
        count_(rows.num_elements()),
        matrix_begin_(matrix.offset[0]),
        matrix_size_(matrix.shape[0]) {}

  // Entries on this device, padding included.
  FACET_HOST_DEVICE int64_t count() const { return count_; }

  // Of this device's share. `rows`: all of the list that is here.
  __device__ int64_t Row(const DeviceSpan<const int32_t>& rows,
                         int64_t entry) const {
    const int64_t in_group = rows.Load(entry);
    if (in_group == -1) return kPadding;
    const int64_t group = first_group_ + entry / capacity_;
    const int64_t first = groups_.begin(group) - matrix_begin_;
    const int64_t row = first + in_group;
    const bool is_there = in_group >= 0 && in_group < groups_.size(group) &&
                          first >= 0 && row < matrix_size_;
    return is_there ? row : kNotThere;
  }

 private:
  ShardRanges groups_;  // Rows of the whole matrix.
  int64_t first_group_, capacity_, count_;
  int64_t matrix_begin_, matrix_size_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_ROW_LIST_INDEX_H_
