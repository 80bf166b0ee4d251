// DataSource: where training images come from. Implementations: runtime/data.
#ifndef FACET_OPS_DATA_SOURCE_H_
#define FACET_OPS_DATA_SOURCE_H_

#include <cstdint>

#include "absl/status/status.h"

namespace facet::ops {

// Thread-safe: every device reads its own part of the batch, from its own data
// thread. What image `index` of step `step` is depends on nothing else, so
// that the same run on more devices sees the same images.
class DataSource {
 public:
  virtual ~DataSource() = default;

  // Fills images [begin, end) of the global batch of `step`: `images` is
  // [end - begin, 3, 112, 112] row-major, normalised; `labels` [end - begin].
  virtual absl::Status Read(int64_t step, int64_t begin, int64_t end,
                            float* images, int32_t* labels) = 0;
};

}  // namespace facet::ops

#endif  // FACET_OPS_DATA_SOURCE_H_
