// How the CUDA kernels of cosine_linear and its relatives walk over the
// classes: in tiles, of which a float32 matrix [classes, D], normalised weights
// or a piece of their gradient, lies in the workspace; it is never stored
// whole.
#ifndef FACET_OPS_COSINE_LINEAR_DEVICE_TILES_H_
#define FACET_OPS_COSINE_LINEAR_DEVICE_TILES_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "ops/cuda/device_span.h"
#include "ops/cuda/gemm.h"
#include "ops/graph/shard.h"
#include "ops/status_macros.h"

namespace facet::ops {

class DeviceTiles {
 public:
  DeviceTiles(int64_t classes, int64_t columns)
      : classes_(classes),
        columns_(columns),
        rows_(std::min(classes,
                       std::max<int64_t>(1, kTileBytes / (4 * columns)))) {}

  int64_t workspace_bytes() const {
    return matrix_bytes() + kGemmWorkspaceBytes;
  }

  // In order: body(classes), which returns a Status.
  template <typename Body>
  absl::Status ForEach(const Body& body) const {
    for (int64_t begin = 0; begin < classes_; begin += rows_) {
      RETURN_IF_ERROR(body(Range{begin, std::min(classes_, begin + rows_)}));
    }
    return absl::OkStatus();
  }

  // The parts of the workspace: the matrix of a tile of `size` classes, and
  // what Gemm needs.
  DeviceSpan<float> Matrix(void* workspace, int64_t size) const {
    return {static_cast<float*>(workspace), size * columns_};
  }
  void* OfGemm(void* workspace) const {
    return static_cast<char*>(workspace) + matrix_bytes();
  }

 private:
  // 65,536 classes of 512 floats. Smaller tiles would stay in the second cache,
  // and yet take longer: starting and ending a kernel costs more than that
  // saves (2 million classes and 128 images on an H200: 18.2 ms of a step with
  // 32 MiB, 16.3 with 64, 14.6 with 128).
  static constexpr int64_t kTileBytes = int64_t{128} << 20;

  int64_t matrix_bytes() const { return rows_ * columns_ * 4; }

  int64_t classes_, columns_;
  int64_t rows_;  // Of a tile; the last may have fewer.
};

}  // namespace facet::ops

#endif  // FACET_OPS_COSINE_LINEAR_DEVICE_TILES_H_
