// SliceIndex: where an element of a device's slice is in the logical tensor, in
// a kernel; for ops whose values depend on the logical element.
#ifndef FACET_OPS_CUDA_SLICE_INDEX_H_
#define FACET_OPS_CUDA_SLICE_INDEX_H_

#include <cstdint>

#include "glog/logging.h"
#include "ops/host_device.h"
#include "ops/kernel.h"

namespace facet::ops {

class SliceIndex {
 public:
  static constexpr int kMostDimensions = 8;

  // The slice must be row-major.
  explicit SliceIndex(const TensorSlice& slice) : rank_(slice.shape.rank()) {
    CHECK(slice.layout == Layout::kRowMajor);
    CHECK_LE(rank_, kMostDimensions);
    for (int d = 0; d < rank_; ++d) {
      shape_[d] = slice.shape[d];
      global_shape_[d] = slice.global_shape[d];
      offset_[d] = slice.offset[d];
    }
  }

  // Row-major element number in the logical tensor of the slice's element
  // `local`.
  FACET_HOST_DEVICE int64_t Global(int64_t local) const {
    int64_t global = 0;
    int64_t stride = 1;
    for (int d = rank_ - 1; d >= 0; --d) {
      global += (local % shape_[d] + offset_[d]) * stride;
      local /= shape_[d];
      stride *= global_shape_[d];
    }
    return global;
  }

 private:
  int rank_;
  int64_t shape_[kMostDimensions] = {};
  int64_t global_shape_[kMostDimensions] = {};
  int64_t offset_[kMostDimensions] = {};
};

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_SLICE_INDEX_H_
