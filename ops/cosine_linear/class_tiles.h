// How the kernels of cosine_linear walk over the classes: in tiles of rows of
// w that stay in a core's cache while they are worked on, so that w is read
// from memory once.
#ifndef FACET_OPS_COSINE_LINEAR_CLASS_TILES_H_
#define FACET_OPS_COSINE_LINEAR_CLASS_TILES_H_

#include <algorithm>
#include <cstdint>

#include "ops/elementwise.h"
#include "ops/graph/shard.h"
#include "ops/half.h"
#include "ops/panel_product.h"
#include "ops/parallel_status.h"

namespace facet::ops {

// Tiles depend on the shapes alone, not on the threads.
struct ClassTiles {
  static constexpr int64_t kMaxRows = 96;
  // At most so many threads work on tiles: what each of them needs is planned.
  static constexpr int64_t kMaxThreads = 64;

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
  int64_t threads() const { return std::min(kMaxThreads, count); }
  // Of ParallelFor, so that it is no more threads.
  int64_t grain() const { return (count + kMaxThreads - 1) / kMaxThreads; }
};

// Rows of w in float32: where they lie, or, of rows stored as bfloat16, a copy
// in `buffer`, which then has room for their `floats` numbers.
inline const float* FloatRows(const float* rows, int64_t, float*) {
  return rows;
}
inline const float* FloatRows(const BFloat16* rows, int64_t floats,
                              float* buffer) {
  ForElements(0, floats, [=](auto v, int64_t i) {
    using V = decltype(v);
    Store<V>(buffer + i, Load<V>(rows + i));
  });
  return buffer;
}

// Floats of that buffer of one thread.
inline int64_t FloatRowsBuffer(DataType stored, const ClassTiles& tiles,
                               int64_t columns) {
  return stored == DataType::kFloat32 ? 0 : tiles.rows * columns;
}

// The rows of w in the next tile, to be prefetched with the work on this one.
class TileAhead {
 public:
  TileAhead() = default;  // Nothing.
  // The tile after `tile`, if that is before `last`.
  template <typename W>
  TileAhead(const W* w, const ClassTiles& tiles, int64_t columns, int64_t tile,
            int64_t last) {
    if (tile + 1 >= last) return;
    const Range classes = tiles[tile + 1];
    rows_ = reinterpret_cast<const char*>(w + classes.begin * columns);
    bytes_ = classes.size() * columns * static_cast<int64_t>(sizeof(W));
  }

  // For the part-th of `parts` equal parts of the work.
  PanelPrefetch Part(int64_t part, int64_t parts) const {
    if (rows_ == nullptr) return {};
    const int64_t begin = bytes_ * part / parts;
    return {rows_ + begin, bytes_ * (part + 1) / parts - begin};
  }

 private:
  const char* rows_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace facet::ops

#endif  // FACET_OPS_COSINE_LINEAR_CLASS_TILES_H_
