// How the kernels of cosine_linear walk over the classes: in tiles of rows of
// w that stay in a core's cache while they are worked on, so that w is read
// from memory once.
#ifndef FACET_OPS_COSINE_LINEAR_CLASS_TILES_H_
#define FACET_OPS_COSINE_LINEAR_CLASS_TILES_H_

#include <algorithm>
#include <cstdint>

#include "ops/graph/shard.h"
#include "ops/panel_product.h"
#include "ops/parallel_status.h"

namespace facet::ops {

// Tiles depend on the shapes alone, not on the threads.
struct ClassTiles {
  static constexpr int64_t kMaxRows = 96;

  int64_t classes = 0;
  int64_t rows = 0;  // Of a tile; the last may have fewer.
  int64_t count = 0;

  // Of at most `most_rows` rows, fewer if they are long.
  ClassTiles(int64_t num_classes, int64_t columns, int64_t most_rows)
      : classes(num_classes) {
    constexpr int64_t kTileBytes = 192 * 1024, kLeastRows = 12;
    const int64_t fitting = kTileBytes / (4 * columns);
    rows = std::min(classes, std::clamp(fitting, kLeastRows, most_rows));
    count = (classes + rows - 1) / rows;
  }

  Range operator[](int64_t tile) const {
    return {tile * rows, std::min(classes, (tile + 1) * rows)};
  }
};

// The rows of w in the next tile, to be prefetched with the work on this one.
class TileAhead {
 public:
  TileAhead() = default;  // Nothing.
  // The tile after `tile`, if that is before `last`.
  TileAhead(const float* w, const ClassTiles& tiles, int64_t columns,
            int64_t tile, int64_t last) {
    if (tile + 1 >= last) return;
    const Range classes = tiles[tile + 1];
    rows_ = w + classes.begin * columns;
    floats_ = classes.size() * columns;
  }

  // For the part-th of `parts` equal parts of the work.
  PanelPrefetch Part(int64_t part, int64_t parts) const {
    if (rows_ == nullptr) return {};
    const int64_t begin = floats_ * part / parts;
    return {rows_ + begin, floats_ * (part + 1) / parts - begin};
  }

 private:
  const float* rows_ = nullptr;
  int64_t floats_ = 0;
};

}  // namespace facet::ops

#endif  // FACET_OPS_COSINE_LINEAR_CLASS_TILES_H_
