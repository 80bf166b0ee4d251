// How the kernels of cosine_linear walk over the classes: in tiles of rows of
// w that stay in a core's cache while they are worked on, so that w is read
// from memory once.
#ifndef FACET_OPS_COSINE_LINEAR_CLASS_TILES_H_
#define FACET_OPS_COSINE_LINEAR_CLASS_TILES_H_

#include <algorithm>
#include <cstdint>

#include "ops/graph/shard.h"
#include "ops/parallel_status.h"

namespace facet::ops {

// Tiles depend on the shapes alone, not on the threads.
struct ClassTiles {
  static constexpr int64_t kMaxRows = 512;

  int64_t classes = 0;
  int64_t rows = 0;  // Of a tile; the last may have fewer.
  int64_t count = 0;

  ClassTiles(int64_t num_classes, int64_t columns) : classes(num_classes) {
    constexpr int64_t kTileBytes = 256 * 1024;
    const int64_t fitting = kTileBytes / (4 * columns) / 16 * 16;
    rows = std::min(classes, std::clamp<int64_t>(fitting, 16, kMaxRows));
    count = (classes + rows - 1) / rows;
  }

  Range operator[](int64_t tile) const {
    return {tile * rows, std::min(classes, (tile + 1) * rows)};
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_COSINE_LINEAR_CLASS_TILES_H_
