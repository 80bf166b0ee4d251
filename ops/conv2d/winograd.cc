#include "ops/conv2d/winograd.h"

#include <algorithm>

#include "glog/logging.h"
#include "ops/conv2d/winograd_tile.h"
#include "ops/float8.h"
#include "ops/panel_product.h"
#include "ops/parallel.h"
#include "ops/transpose.h"

namespace facet::ops {
namespace {

using winograd::kKernel;
using winograd::kProducts;
using winograd::kResult;
using winograd::kTile;

constexpr int64_t kLane = kLanes<Float8>;

// Images in a blocked layout, cut into tiles of 4x4 pixels.
struct Tiling {
  explicit Tiling(const TensorSlice& slice)
      : channels(slice.shape[1]),
        height(slice.shape[2]),
        width(slice.shape[3]),
        block(ChannelBlock(slice.layout)),
        rows((height + kResult - 1) / kResult),
        columns((width + kResult - 1) / kResult),
        tiles(slice.shape[0] * rows * columns) {}

  // Of the pixel at (y, x) of the tile's image, 8 channels from c.
  int64_t Offset(int64_t image, int64_t c, int64_t y, int64_t x) const {
    return (((image * channels + c - c % block) * height + y * block) * width) +
           x * block + c % block;
  }

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

// body(tile - first, its position, c) for the tiles [first, first + count) and
// every 8 channels from c.
template <typename Body>
void ForEachTile(const Tiling& t, int64_t first, int64_t count,
                 const Body& body) {
  const int64_t groups = t.channels / kLane;
  ParallelFor(count * groups, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t tile = i / groups;
      body(tile, Position(t, first + tile), i % groups * kLane);
    }
  });
}

// A square of pixels of 8 channels, zero outside of the image.
template <int kSide, typename T>
void LoadSquare(const T* images, const Tiling& t, int64_t image, int64_t c,
                int64_t top, int64_t left, Float8 (&square)[kSide][kSide]) {
  const T* base = images + t.Offset(image, c, 0, 0);
  const bool inside = top >= 0 && left >= 0 && top + kSide <= t.height &&
                      left + kSide <= t.width;
  for (int i = 0; i < kSide; ++i) {
    const T* row = base + ((top + i) * t.width + left) * t.block;
    if (inside) {
      for (int j = 0; j < kSide; ++j) {
        square[i][j] = Load<Float8>(row + j * t.block);
      }
      continue;
    }
    const bool has_row = top + i >= 0 && top + i < t.height;
    for (int j = 0; j < kSide; ++j) {
      const bool has = has_row && left + j >= 0 && left + j < t.width;
      square[i][j] = has ? Load<Float8>(row + j * t.block) : Float8{};
    }
  }
}

template <typename T>
void StoreSquare(const Float8 (&square)[kResult][kResult], const Tiling& t,
                 const Position& at, int64_t c, T* images) {
  T* base = images + t.Offset(at.image, c, at.y, at.x);
  const int64_t rows = std::min<int64_t>(kResult, t.height - at.y);
  const int64_t columns = std::min<int64_t>(kResult, t.width - at.x);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      Store(base + (i * t.width + j) * t.block, square[i][j]);
    }
  }
}

// Distance of the 36 matrices: an odd number of cache lines, or the elements of
// a tile would fall in the same few sets of the cache.
int64_t Spread(int64_t floats) {
  constexpr int64_t kLine = 16;
  return ((floats + kLine - 1) / kLine | 1) * kLine;
}

// Sizes, in floats, of what a run keeps for as many tiles as it does at once.
struct Sizes {
  Sizes(int64_t source_channels, int64_t result_channels, int64_t tiles)
      : batch(BatchOf(source_channels, result_channels, tiles)),
        source(Spread(batch * source_channels)),
        result(Spread(batch * result_channels)),
        kernel(Spread(source_channels * result_channels)) {}

  static int64_t BatchOf(int64_t source_channels, int64_t result_channels,
                         int64_t tiles) {
    // Both matrices of a batch in half a megabyte, but enough rows to pay for
    // reading the kernels again with each batch.
    constexpr int64_t kFloats = int64_t{1} << 17, kLeast = 48;
    const int64_t fit =
        kFloats / (kProducts * (source_channels + result_channels));
    return std::min(std::max(fit / 12 * 12, kLeast), tiles);
  }

  int64_t floats() const { return kProducts * (source + result + kernel); }

  int64_t batch;                   // Tiles at once.
  int64_t source, result, kernel;  // Distances of the 36 matrices of each.
};

// The 36 transformed source tiles: [product][tile][channel].
template <typename T>
void TransformSource(const T* images, const Tiling& t, int64_t first,
                     int64_t count, int64_t distance, float* out) {
  ForEachTile(
      t, first, count, [&](int64_t tile, const Position& at, int64_t c) {
        Float8 square[kTile][kTile], transformed[kTile][kTile];
        LoadSquare(images, t, at.image, c, at.y - 1, at.x - 1, square);
        winograd::Apply2d<winograd::InputTransform>(square, transformed);
        float* to = out + tile * t.channels + c;
        for (int p = 0; p < kProducts; ++p) {
          Store(to + p * distance, transformed[p / kTile][p % kTile]);
        }
      });
}

// [product][tile][channel] to images.
template <typename T>
void TransformResult(const float* in, const Tiling& t, int64_t first,
                     int64_t count, int64_t distance, T* images) {
  ForEachTile(
      t, first, count, [&](int64_t tile, const Position& at, int64_t c) {
        Float8 products[kTile][kTile], square[kResult][kResult];
        const float* from = in + tile * t.channels + c;
        for (int p = 0; p < kProducts; ++p) {
          products[p / kTile][p % kTile] = Load<Float8>(from + p * distance);
        }
        winograd::Apply2d<winograd::ResultTransform>(products, square);
        StoreSquare(square, t, at, c, images);
      });
}

// Gradients of results, as panels: [product][channel / 16][tile][16].
template <typename T>
void TransformResultGradient(const T* images, const Tiling& t, int64_t first,
                             int64_t count, int64_t distance, float* out) {
  ForEachTile(
      t, first, count, [&](int64_t tile, const Position& at, int64_t c) {
        Float8 square[kResult][kResult], transformed[kTile][kTile];
        LoadSquare(images, t, at.image, c, at.y, at.x, square);
        winograd::Apply2d<winograd::ResultGradientTransform>(square,
                                                             transformed);
        float* to = out + (c / kPanel * count + tile) * kPanel + c % kPanel;
        for (int p = 0; p < kProducts; ++p) {
          Store(to + p * distance, transformed[p / kTile][p % kTile]);
        }
      });
}

// How the row-major w [O, C, 3, 3] is the kernels from source to result
// channels: as it is, or turned by 180 degrees from y's channels to x's.
struct KernelView {
  int64_t sources, results;              // Channels.
  int64_t source_stride, result_stride;  // In elements of w.
  bool turned;
};

// Where the 16 results of a panel from one source channel are, in a matrix of
// panels: [result channel / 16][source channel][16].
int64_t PanelOffset(const KernelView& view, int64_t panel, int64_t source) {
  return (panel * view.sources + source) * kPanel;
}

// The kernels of 8 results, an element of each in a vector. In memory a
// result's elements are neighbours: eight of them are loaded as they are.
template <typename T>
void LoadKernels(const T* from, const KernelView& view,
                 Float8 (&kernel)[kKernel][kKernel]) {
  constexpr int kLast = kKernel * kKernel - 1;
  Float8 elements[kLast];
  for (int l = 0; l < kLane; ++l) {
    elements[l] = Load<Float8>(from + l * view.result_stride);
  }
  Transpose(elements);
  Float8 last;
  for (int l = 0; l < kLane; ++l) {
    last[l] = static_cast<float>(from[l * view.result_stride + kLast]);
  }
  for (int e = 0; e <= kLast; ++e) {
    const int at = view.turned ? kLast - e : e;
    kernel[at / kKernel][at % kKernel] = e < kLast ? elements[e] : last;
  }
}

template <typename T>
void StoreKernels(const Float8 (&kernel)[kKernel][kKernel],
                  const KernelView& view, T* to) {
  constexpr int kLast = kKernel * kKernel - 1;
  Float8 elements[kLast];
  for (int e = 0; e < kLast; ++e)
    elements[e] = kernel[e / kKernel][e % kKernel];
  Transpose(elements);
  const Float8 last = kernel[kKernel - 1][kKernel - 1];
  for (int l = 0; l < kLane; ++l) {
    Store(to + l * view.result_stride, elements[l]);
    to[l * view.result_stride + kLast] = static_cast<T>(last[l]);
  }
}

// w to panels, for each of the 36 products.
template <typename T>
void TransformKernels(const T* w, const KernelView& view, int64_t distance,
                      float* out) {
  const int64_t count = view.results / kPanel * view.sources;
  ParallelFor(count, 32, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i / view.sources, source = i % view.sources;
      const T* from =
          w + source * view.source_stride + panel * kPanel * view.result_stride;
      float* to = out + PanelOffset(view, panel, source);
      for (int64_t half = 0; half < kPanel; half += kLane) {
        Float8 kernel[kKernel][kKernel], transformed[kTile][kTile];
        LoadKernels(from + half * view.result_stride, view, kernel);
        winograd::Apply2d<winograd::KernelTransform>(kernel, transformed);
        for (int p = 0; p < kProducts; ++p) {
          Store(to + p * distance + half, transformed[p / kTile][p % kTile]);
        }
      }
    }
  });
}

// And back, of gradients.
template <typename T>
void TransformKernelGradients(const float* in, const KernelView& view,
                              int64_t distance, T* w) {
  const int64_t count = view.results / kPanel * view.sources;
  ParallelFor(count, 32, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i / view.sources, source = i % view.sources;
      const float* from = in + PanelOffset(view, panel, source);
      T* to =
          w + source * view.source_stride + panel * kPanel * view.result_stride;
      for (int64_t half = 0; half < kPanel; half += kLane) {
        Float8 products[kTile][kTile], kernel[kKernel][kKernel];
        for (int p = 0; p < kProducts; ++p) {
          products[p / kTile][p % kTile] =
              Load<Float8>(from + p * distance + half);
        }
        winograd::Apply2d<winograd::KernelGradientTransform>(products, kernel);
        StoreKernels(kernel, view, to + half * view.result_stride);
      }
    }
  });
}

// body(product, panel, few) so that the panels [panel, panel + few) of all
// products are covered, few at a time.
template <typename Body>
void ForPanels(int64_t panels, const Body& body) {
  constexpr int64_t kFew = 4;
  const int64_t groups = (panels + kFew - 1) / kFew;
  ParallelFor(kProducts * groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i % groups * kFew;
      body(i / groups, panel, std::min(kFew, panels - panel));
    }
  });
}

template <typename Image, typename Weight>
void Convolve(const Image* source, const Tiling& from, const Weight* w,
              const KernelView& view, Image* result, const Tiling& to,
              float* workspace) {
  const Sizes sizes(view.sources, view.results, from.tiles);
  float* const sources = workspace;
  float* const results = sources + kProducts * sizes.source;
  float* const kernels = results + kProducts * sizes.result;
  TransformKernels(w, view, sizes.kernel, kernels);
  const int64_t panels = view.results / kPanel;
  for (int64_t first = 0; first < from.tiles; first += sizes.batch) {
    const int64_t count = std::min(sizes.batch, from.tiles - first);
    TransformSource(source, from, first, count, sizes.source, sources);
    ForPanels(panels, [&](int64_t product, int64_t panel, int64_t few) {
      PanelProductCall call;
      call.rows = count;
      call.depth = view.sources;
      call.panels = few;
      call.a = sources + product * sizes.source;
      call.a_row = view.sources;
      call.a_depth = 1;
      call.b = kernels + product * sizes.kernel + PanelOffset(view, panel, 0);
      call.b_panel = PanelOffset(view, 1, 0);
      // The kernels come from memory with every batch.
      const int64_t next = product + (panel + few) / panels;
      if (next < kProducts) {
        call.ahead[0] = {kernels + next * sizes.kernel +
                             PanelOffset(view, (panel + few) % panels, 0),
                         few * call.b_panel};
      }
      call.c = results + product * sizes.result + panel * kPanel;
      call.c_row = view.results;
      PanelProduct(call);
    });
    TransformResult(results, to, first, count, sizes.result, result);
  }
}

template <typename Image, typename Weight>
void KernelGradient(const Image* x, const Tiling& from, const Image* dy,
                    const Tiling& to, const KernelView& view, Weight* dw,
                    float* workspace) {
  const Sizes sizes(view.sources, view.results, from.tiles);
  float* const sources = workspace;
  float* const results = sources + kProducts * sizes.source;
  float* const sums = results + kProducts * sizes.result;
  const int64_t panels = view.results / kPanel;
  for (int64_t first = 0; first < from.tiles; first += sizes.batch) {
    const int64_t count = std::min(sizes.batch, from.tiles - first);
    TransformSource(x, from, first, count, sizes.source, sources);
    TransformResultGradient(dy, to, first, count, sizes.result, results);
    ForPanels(panels, [&](int64_t product, int64_t panel, int64_t few) {
      PanelProductCall call;
      call.rows = view.sources;
      call.depth = count;
      call.panels = few;
      call.a = sources + product * sizes.source;
      call.a_row = 1;
      call.a_depth = view.sources;
      call.b = results + product * sizes.result + panel * count * kPanel;
      call.b_panel = count * kPanel;
      call.c = sums + product * sizes.kernel + PanelOffset(view, panel, 0);
      call.c_row = kPanel;
      call.c_panel = PanelOffset(view, 1, 0);
      call.add = first > 0;
      PanelProduct(call);
    });
  }
  TransformKernelGradients(sums, view, sizes.kernel, dw);
}

}  // namespace

bool WinogradSupports(const ConvolutionProblem& p) {
  const Shape& w = p.w.shape;
  return w[2] == kKernel && w[3] == kKernel && p.stride == 1 &&
         p.padding == 1 && p.x.layout == p.y.layout && p.x.dtype == p.y.dtype &&
         ChannelBlock(p.x.layout) % kLane == 0 && w[0] % kPanel == 0 &&
         w[1] % kPanel == 0;
}

int64_t WinogradWorkspaceBytes(const ConvolutionProblem& p) {
  const Tiling tiling(p.x);
  const bool turned = p.direction == ConvolutionDirection::kGradInput;
  const Sizes sizes(p.w.shape[turned ? 0 : 1], p.w.shape[turned ? 1 : 0],
                    tiling.tiles);
  return sizes.floats() * static_cast<int64_t>(sizeof(float));
}

void RunWinograd(const ConvolutionProblem& p, void* x, void* w, void* y,
                 void* workspace) {
  DCHECK(WinogradSupports(p));
  const Tiling of_x(p.x), of_y(p.y);
  const int64_t outputs = p.w.shape[0], inputs = p.w.shape[1];
  constexpr int64_t kElements = kKernel * kKernel;
  const KernelView forward = {inputs, outputs, kElements, inputs * kElements,
                              false};
  const KernelView backward = {outputs, inputs, inputs * kElements, kElements,
                               true};
  float* scratch = static_cast<float*>(workspace);
  VisitFloating(p.x.dtype, [&](auto image) {
    using Image = decltype(image);
    VisitFloating(p.w.dtype, [&](auto weight) {
      using Weight = decltype(weight);
      Image* const images_x = static_cast<Image*>(x);
      Image* const images_y = static_cast<Image*>(y);
      Weight* const weights = static_cast<Weight*>(w);
      switch (p.direction) {
        case ConvolutionDirection::kForward:
          return Convolve(images_x, of_x, weights, forward, images_y, of_y,
                          scratch);
        case ConvolutionDirection::kGradInput:
          return Convolve(images_y, of_y, weights, backward, images_x, of_x,
                          scratch);
        case ConvolutionDirection::kGradWeight:
          return KernelGradient(images_x, of_x, images_y, of_y, forward,
                                weights, scratch);
      }
    });
  });
}

}  // namespace facet::ops
