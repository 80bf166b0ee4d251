// Where the elements of a device's slice are in the logical tensor, for ops
// whose values depend on the logical element (random numbers).
#ifndef FACET_OPS_SLICE_RUNS_H_
#define FACET_OPS_SLICE_RUNS_H_

#include <algorithm>
#include <cstdint>

#include "ops/kernel.h"

namespace facet::ops {

// Calls run(local, global, count) for runs of elements that are adjacent in
// both, in order, until the local elements [begin, end) are covered; `local`
// and `global` are row-major element numbers. The slice must be row-major.
//
// Example: columns 2 to 3 of a [3, 4] tensor are the runs (0, 2, 2), (2, 6, 2),
// (4, 10, 2); its rows 1 to 2 the single run (0, 4, 8).
template <typename Run>
void ForEachRun(const TensorSlice& slice, int64_t begin, int64_t end,
                const Run& run) {
  const int rank = slice.shape.rank();
  // Dimensions from `split` on are adjacent: all but the first of them whole.
  int split = std::max(0, rank - 1);
  while (split > 0 && slice.shape[split] == slice.global_shape[split]) --split;
  const int64_t run_length = slice.shape.num_elements(split, rank);
  while (begin < end) {
    int64_t row = begin / run_length;
    const int64_t in_row = begin % run_length;
    int64_t global = in_row;
    int64_t stride = slice.global_shape.num_elements(split, rank);
    if (rank > 0) {
      global += slice.offset[split] *
                slice.global_shape.num_elements(split + 1, rank);
    }
    for (int i = split - 1; i >= 0; --i) {
      global += (row % slice.shape[i] + slice.offset[i]) * stride;
      row /= slice.shape[i];
      stride *= slice.global_shape[i];
    }
    const int64_t count = std::min(run_length - in_row, end - begin);
    run(begin, global, count);
    begin += count;
  }
}

}  // namespace facet::ops

#endif  // FACET_OPS_SLICE_RUNS_H_
