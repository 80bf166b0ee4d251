// How Winograd's convolution cuts images into tiles, and the memory it works
// in.
#ifndef FACET_OPS_CONV2D_WINOGRAD_TILING_H_
#define FACET_OPS_CONV2D_WINOGRAD_TILING_H_

#include <algorithm>
#include <cstdint>

#include "ops/kernel.h"
#include "ops/panel_product.h"

namespace facet::ops::winograd {

inline constexpr int kResult = 4;  // Side of a tile of results.
inline constexpr int kKernel = 3;
inline constexpr int kTile = kResult + kKernel - 1;
inline constexpr int kProducts = kTile * kTile;

// Images in a blocked layout, cut into tiles of 4x4 pixels.
struct Tiling {
  explicit Tiling(const TensorSlice& slice)
      : dtype(slice.dtype),
        channels(slice.shape[1]),
        height(slice.shape[2]),
        width(slice.shape[3]),
        block(ChannelBlock(slice.layout)),
        rows((height + kResult - 1) / kResult),
        columns((width + kResult - 1) / kResult),
        tiles(slice.shape[0] * rows * columns) {}

  // Of the pixel at (y, x) of the tile's image, in its block of channels from
  // c.
  int64_t Offset(int64_t image, int64_t c, int64_t y, int64_t x) const {
    return (((image * channels + c - c % block) * height + y * block) * width) +
           x * block + c % block;
  }

  DataType dtype;
  int64_t channels, height, width, block, rows, columns, tiles;
};

// Where one tile lies in its image: its first pixel.
struct Position {
  Position(const Tiling& tiling, int64_t tile)
      : image(tile / (tiling.rows * tiling.columns)),
        y(tile / tiling.columns % tiling.rows * kResult),
        x(tile % tiling.columns * kResult) {}
  int64_t image, y, x;
};

// What a run keeps in its workspace, for as many tiles and kernels as it works
// on at once. Distances and sizes are in floats.
struct Sizes {
  // A batch of tiles is at least so many, if there are: with each, all kernels
  // are read again, or the sums of their gradients read and written.
  static constexpr int64_t kLeastToConvolve = 96, kLeastToSum = 256;

  Sizes(int64_t source_channels, int64_t result_channels, int64_t tiles,
        int64_t least)
      : batch(BatchOf(source_channels + result_channels, tiles, least)),
        panels(PanelsAtOnce(source_channels, result_channels / kPanel, tiles)),
        source(Spread(batch * source_channels)),
        result(Spread(batch * result_channels)),
        kernel(Spread(source_channels * panels * kPanel)) {}

  int64_t floats() const { return kProducts * (source + result + kernel); }

  int64_t batch;                   // Tiles at once.
  int64_t panels;                  // Of kernels at once, 16 results each.
  int64_t source, result, kernel;  // Distances of the 36 matrices of each.

 private:
  // Batches of about the same size, both matrices in half a megabyte if that is
  // enough.
  static int64_t BatchOf(int64_t channels, int64_t tiles, int64_t least) {
    constexpr int64_t kFloats = int64_t{1} << 17;
    const int64_t most = std::max(least, kFloats / (kProducts * channels));
    const int64_t batches = (tiles + most - 1) / most;
    return (tiles + batches - 1) / batches;
  }

  // With few tiles, the kernels are most of the memory that is moved (38
  // megabytes with 512 channels), and all tiles are one batch, so that each
  // kernel is needed once: a few are transformed and used while they are in the
  // cache. With more tiles, reading their sources again for each few would cost
  // more.
  static int64_t PanelsAtOnce(int64_t source_channels, int64_t panels,
                              int64_t tiles) {
    static_assert(kLeastToConvolve <= kLeastToSum);
    if (tiles > kLeastToConvolve) return panels;
    constexpr int64_t kFloats = int64_t{1} << 18, kLeast = 2;
    const int64_t fit = kFloats / (kProducts * source_channels * kPanel);
    return std::min(panels, std::max(fit, kLeast));
  }

  // Distance of the 36 matrices: an odd number of cache lines, or the elements
  // of a tile would fall in the same few sets of the cache.
  static int64_t Spread(int64_t floats) {
    constexpr int64_t kLine = 16;
    return ((floats + kLine - 1) / kLine | 1) * kLine;
  }
};

}  // namespace facet::ops::winograd

#endif  // FACET_OPS_CONV2D_WINOGRAD_TILING_H_
