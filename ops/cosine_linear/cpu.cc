// w is the only large operand: each kernel reads it once, tile by tile, and the
// next tile comes from memory while one is worked on. Cores work on different
// tiles. Of a w that is stored as bfloat16, a tile at a time is float32.
#include <omp.h>

#include <array>
#include <cstring>

#include "ops/cosine_linear/class_tiles.h"
#include "ops/cosine_linear/gradient_tiles.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/l2_normalize/dot.h"
#include "ops/l2_normalize/normalize.h"
#include "ops/panel_product.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/sgd_update/stored_state.h"
#include "ops/transpose.h"
#include "ops/visit_stored.h"

namespace facet::ops {
namespace {

constexpr int64_t kFloatBytes = sizeof(float);

// inverse[j] of the rows of a tile.
void InverseNorms(const float* w, int64_t rows, int64_t columns, float eps,
                  float* inverse) {
  for (int64_t j = 0; j < rows; ++j) {
    const float* row = w + j * columns;
    inverse[j] = RowNormOf(Dot(row, row, columns), eps).inverse;
  }
}

// to[i, j] = from[i, j] * factor[j], with the rows of `to` side by side.
void ScaleColumns(const float* from, int64_t from_stride, int64_t rows,
                  int64_t columns, const float* factor, float* to) {
  for (int64_t i = 0; i < rows; ++i) {
    const float* from_row = from + i * from_stride;
    float* to_row = to + i * columns;
    ForElements(0, columns, [&](auto v, int64_t j) {
      using V = decltype(v);
      Store<V>(to_row + j, Load<V>(from_row + j) * Load<V>(factor + j));
    });
  }
}

constexpr int64_t kForwardRows = 48;

// x as panels of rows, [row / 16][D][16], and each thread's rows of w in
// float32.
struct ForwardWorkspace {
  int64_t x_floats, thread_floats;

  ForwardWorkspace(int64_t n, int64_t d, DataType stored,
                   const ClassTiles& tiles)
      : x_floats(PanelsOf(n) * kPanel * d),
        thread_floats(FloatRowsBuffer(stored, tiles, d)) {}
};

// Columns of the transposed tile of y that is worked on.
constexpr int64_t kForwardPanels = 4;

// y[i, j] = tile[j, i] * inverse[j]: the transpose, of n <= 64 columns. The
// rows of the tile after the last class are read, too.
void StoreTransposed(const float* tile, int64_t classes, int64_t n,
                     const float* inverse, float* y, int64_t y_stride) {
  constexpr int64_t kTileStride = kForwardPanels * kPanel, kSide = 8;
  for (int64_t i = 0; i < n; i += kSide) {
    const int64_t rows = std::min(kSide, n - i);
    for (int64_t j = 0; j < classes; j += kSide) {
      const int64_t columns = std::min(kSide, classes - j);
      Float8 square[kSide];
      for (int64_t l = 0; l < kSide; ++l) {
        square[l] =
            Load<Float8>(tile + (j + l) * kTileStride + i) * inverse[j + l];
      }
      Transpose(square);
      for (int64_t l = 0; l < rows; ++l) {
        std::memcpy(y + (i + l) * y_stride + j, &square[l],
                    columns * sizeof(float));
      }
    }
  }
}

// W: how w is stored.
template <typename W>
absl::Status Forward(const KernelContext& context, float eps) {
  const float* x = context.inputs[0].as<float>();
  const W* w = context.inputs[1].as<W>();
  float* y = context.outputs[0].as<float>();
  const int64_t n = context.inputs[0].shape()[0];
  const int64_t c = context.inputs[1].shape()[0];
  const int64_t d = context.inputs[1].shape()[1];
  const ClassTiles tiles(c, d, kForwardRows);
  const ForwardWorkspace sizes(n, d, context.inputs[1].dtype(), tiles);
  float* x_panels = static_cast<float*>(context.workspace);
  PackTransposedPanels(x, d, n, d, x_panels);

  ParallelFor(tiles.count, tiles.grain(), [&](int64_t first, int64_t last) {
    float* const rows =
        x_panels + sizes.x_floats + omp_get_thread_num() * sizes.thread_floats;
    float inverse[kForwardRows] = {};
    alignas(64) float products[kForwardRows * kForwardPanels * kPanel] = {};
    const int64_t panels = PanelsOf(n);
    for (int64_t t = first; t < last; ++t) {
      const Range classes = tiles[t];
      const float* w_tile =
          FloatRows(w + classes.begin * d, classes.size() * d, rows);
      const TileAhead ahead(w, tiles, d, t, last);
      InverseNorms(w_tile, classes.size(), d, eps, inverse);
      for (int64_t p = 0; p < panels; p += kForwardPanels) {
        PanelProductCall product;
        product.rows = classes.size();
        product.depth = d;
        product.panels = std::min(kForwardPanels, panels - p);
        product.a = w_tile;
        product.a_row = d;
        product.a_depth = 1;
        product.b = x_panels + p * kPanel * d;
        product.b_panel = kPanel * d;
        product.c = products;
        product.c_row = kForwardPanels * kPanel;
        product.ahead[0] = ahead.Part(
            p / kForwardPanels, (panels + kForwardPanels - 1) / kForwardPanels);
        PanelProduct(product);
        const int64_t row = p * kPanel;
        StoreTransposed(products, classes.size(),
                        std::min(kForwardPanels * kPanel, n - row), inverse,
                        y + row * c + classes.begin, c);
      }
    }
  });
  return absl::OkStatus();
}

// The sum over the classes is made of partial sums over chunks of tiles, which
// are added in order: the same for any number of threads.
struct GradInputChunks {
  ClassTiles tiles;
  int64_t n, padded_d;
  int64_t count;  // Of chunks.

  GradInputChunks(int64_t n, int64_t c, int64_t d)
      : tiles(c, d, ClassTiles::kMaxRows),
        n(n),
        padded_d(PanelsOf(d) * kPanel) {
    // Enough to balance the cores; the partial sums stay small beside w.
    constexpr int64_t kMost = 128;
    count = std::clamp<int64_t>(c / (16 * n), 1, std::min(kMost, tiles.count));
  }
  int64_t sum_floats() const { return n * padded_d; }
  // A partial sum, and the tile of dy with its columns scaled.
  int64_t chunk_floats() const { return sum_floats() + n * tiles.rows; }
  int64_t grain() const {
    return (count + ClassTiles::kMaxThreads - 1) / ClassTiles::kMaxThreads;
  }
};

// sum [N, D] += dy [N, classes] * w [classes, D].
void AddGradInput(const float* dy, const float* w, int64_t classes, int64_t n,
                  int64_t d, const TileAhead& ahead, bool first, float* sum) {
  constexpr int64_t kPanels = 2;
  // The columns of w lie far apart: a copy of a few stays in the first cache.
  alignas(64) float columns[kPanels * ClassTiles::kMaxRows * kPanel];
  const int64_t panels = PanelsOf(d);
  for (int64_t p = 0; p < panels; p += kPanels) {
    const int64_t column = p * kPanel;
    PackPanels(w + column, d, classes, std::min(kPanels * kPanel, d - column),
               columns);
    PanelProductCall product;
    product.rows = n;
    product.depth = classes;
    product.panels = std::min(kPanels, panels - p);
    product.a = dy;
    product.a_row = classes;
    product.a_depth = 1;
    product.b = columns;
    product.b_panel = classes * kPanel;
    product.c = sum + column;
    product.c_row = panels * kPanel;
    product.add = !first;
    product.ahead[0] =
        ahead.Part(p / kPanels, (panels + kPanels - 1) / kPanels);
    PanelProduct(product);
  }
}

template <typename W>
absl::Status GradInput(const KernelContext& context, float eps) {
  const float* dy = context.inputs[0].as<float>();
  const W* w = context.inputs[1].as<W>();
  float* dx = context.outputs[0].as<float>();
  const int64_t n = context.inputs[0].shape()[0];
  const int64_t c = context.inputs[1].shape()[0];
  const int64_t d = context.inputs[1].shape()[1];
  const GradInputChunks chunks(n, c, d);
  const ClassTiles& tiles = chunks.tiles;
  float* workspace = static_cast<float*>(context.workspace);
  const int64_t thread_floats =
      FloatRowsBuffer(context.inputs[1].dtype(), tiles, d);
  auto one_chunk = [&](int64_t chunk) {
    float* const rows = workspace + chunks.count * chunks.chunk_floats() +
                        omp_get_thread_num() * thread_floats;
    float inverse[ClassTiles::kMaxRows];
    float* sum = workspace + chunk * chunks.chunk_floats();
    float* scaled = sum + chunks.sum_floats();
    const int64_t first = chunk * tiles.count / chunks.count;
    const int64_t last = (chunk + 1) * tiles.count / chunks.count;
    for (int64_t t = first; t < last; ++t) {
      const Range classes = tiles[t];
      const float* w_tile =
          FloatRows(w + classes.begin * d, classes.size() * d, rows);
      InverseNorms(w_tile, classes.size(), d, eps, inverse);
      ScaleColumns(dy + classes.begin, c, n, classes.size(), inverse, scaled);
      AddGradInput(scaled, w_tile, classes.size(), n, d,
                   TileAhead(w, tiles, d, t, last), t == first, sum);
    }
  };
  ParallelFor(chunks.count, chunks.grain(), [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) one_chunk(chunk);
  });
  ParallelFor(n, 1, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const float* from = workspace + row * chunks.padded_d;
      ForElements(0, d, [&](auto v, int64_t i) {
        using V = decltype(v);
        V sum = Load<V>(from + i);
        for (int64_t chunk = 1; chunk < chunks.count; ++chunk) {
          sum += Load<V>(from + chunk * chunks.chunk_floats() + i);
        }
        Store<V>(dx + row * d + i, sum);
      });
    }
  });
  return absl::OkStatus();
}

struct Sgd {
  AccumulatingSgd steps;
  float eps = 0;
  int64_t key = 0;  // Of the rounding.
};

template <typename W, typename M>
absl::Status Update(const KernelContext& context, const Sgd& sgd) {
  const std::optional<SgdStep> step =
      SgdOfThisRun(sgd.steps.At(context.step), context, 4);
  if (!step.has_value()) return absl::OkStatus();
  W* w = context.inputs[0].as<W>();
  M* momentum = context.inputs[1].as<M>();
  const float* x = context.inputs[2].as<float>();
  const float* dy = context.inputs[3].as<float>();
  const int64_t n = context.inputs[2].shape()[0];
  const int64_t c = context.inputs[0].shape()[0];
  const int64_t d = context.inputs[0].shape()[1];
  const int64_t offset = context.inputs[0].slice.offset[0];
  const RandomStream rounding = RoundingStream(context, sgd.key);
  const GradientTiles gradient(n, c, d);
  return gradient.ForEach(
      x, dy, context.workspace,
      [&](int64_t tile, int64_t last) {
        return std::array{TileAhead(w, gradient.tiles(), d, tile, last),
                          TileAhead(momentum, gradient.tiles(), d, tile, last)};
      },
      [&](Range classes, const float* products, int64_t stride) {
        for (int64_t j = 0; j < classes.size(); ++j) {
          const int64_t row = classes.begin + j;
          UpdateClass(*step, sgd.eps, products + j * stride,
                      StateRun<W, M>{w + row * d, momentum + row * d,
                                     (offset + row) * d, d},
                      rounding, [](auto*, auto*) {});
        }
        return absl::OkStatus();
      });
}

float EpsOf(const KernelSpec& spec) {
  return static_cast<float>(spec.attributes.Float("eps"));
}

}  // namespace

KernelDef CosineLinearCpuKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    const TensorSlice& w = spec.inputs[1];
    const int64_t n = spec.inputs[0].shape[0], d = w.shape[1];
    const ClassTiles tiles(w.shape[0], d, kForwardRows);
    const ForwardWorkspace sizes(n, d, w.dtype, tiles);
    return (sizes.x_floats + tiles.threads() * sizes.thread_floats) *
           kFloatBytes;
  };
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([eps = EpsOf(spec)](const KernelContext& context) {
      return VisitStored(context.inputs[1].dtype(), [&](auto w) {
        return Forward<decltype(w)>(context, eps);
      });
    });
  };
  return def;
}

KernelDef CosineLinearGradInputCpuKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    const TensorSlice& w = spec.inputs[1];
    const GradInputChunks chunks(spec.inputs[0].shape[0], w.shape[0],
                                 w.shape[1]);
    const int64_t thread_floats =
        FloatRowsBuffer(w.dtype, chunks.tiles, w.shape[1]);
    return (chunks.count * chunks.chunk_floats() +
            std::min(ClassTiles::kMaxThreads, chunks.count) * thread_floats) *
           kFloatBytes;
  };
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([eps = EpsOf(spec)](const KernelContext& context) {
      return VisitStored(context.inputs[1].dtype(), [&](auto w) {
        return GradInput<decltype(w)>(context, eps);
      });
    });
  };
  return def;
}

KernelDef CosineLinearSgdCpuKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    const Shape& w = spec.inputs[0].shape;
    return GradientTiles(spec.inputs[2].shape[0], w[0], w[1]).workspace_bytes();
  };
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const Sgd sgd = {AccumulatingSgdOf(spec.attributes), EpsOf(spec),
                     spec.attributes.Int("key")};
    return Kernel([sgd](const KernelContext& context) {
      return VisitState(context.inputs[0], context.inputs[1],
                        [&](auto w, auto m) {
                          return Update<decltype(w), decltype(m)>(context, sgd);
                        });
    });
  };
  return def;
}

}  // namespace facet::ops
