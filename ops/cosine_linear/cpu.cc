// w is the only large operand: each kernel reads it once, tile by tile. Cores
// work on different tiles, each with a single-threaded product.
#include <omp.h>

#include "ops/cosine_linear/class_tiles.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/l2_normalize/normalize.h"
#include "ops/matmul/gemm.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/status_macros.h"

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

// to[i, j] = from[i, j] * factor[j]; may be in place.
void ScaleColumns(const float* from, int64_t from_stride, int64_t rows,
                  int64_t columns, const float* factor, float* to,
                  int64_t to_stride) {
  for (int64_t i = 0; i < rows; ++i) {
    const float* from_row = from + i * from_stride;
    float* to_row = to + i * to_stride;
    ForElements(0, columns, [&](auto v, int64_t j) {
      using V = decltype(v);
      Store<V>(to_row + j, Load<V>(from_row + j) * Load<V>(factor + j));
    });
  }
}

absl::Status Forward(const KernelContext& context, float eps) {
  const float* x = context.inputs[0].as<float>();
  const float* w = context.inputs[1].as<float>();
  float* y = context.outputs[0].as<float>();
  const int64_t n = context.inputs[0].shape()[0];
  const int64_t c = context.inputs[1].shape()[0];
  const int64_t d = context.inputs[1].shape()[1];
  const ClassTiles tiles(c, d);
  return ParallelForStatus(
      tiles.count, 1, [&](int64_t first, int64_t last) -> absl::Status {
        float inverse[ClassTiles::kMaxRows];
        for (int64_t t = first; t < last; ++t) {
          const Range classes = tiles[t];
          const float* w_tile = w + classes.begin * d;
          float* y_tile = y + classes.begin;
          InverseNorms(w_tile, classes.size(), d, eps, inverse);
          RETURN_IF_ERROR(Gemm(n, classes.size(), d, {x, d, false},
                               {w_tile, d, true}, /*beta=*/0, y_tile, c));
          ScaleColumns(y_tile, c, n, classes.size(), inverse, y_tile, c);
        }
        return absl::OkStatus();
      });
}

// The sum over the classes is made of partial sums over chunks of tiles, which
// are added in order: the same for any number of threads.
struct GradInputChunks {
  ClassTiles tiles;
  int64_t n, d;
  int64_t count;  // Of chunks.

  GradInputChunks(int64_t n, int64_t c, int64_t d) : tiles(c, d), n(n), d(d) {
    // Enough to balance the cores; the partial sums stay small beside w.
    constexpr int64_t kMost = 128;
    count = std::clamp<int64_t>(c / (16 * n), 1, std::min(kMost, tiles.count));
  }
  int64_t sum_floats() const { return n * d; }
  // A partial sum, and the tile of dy with its columns scaled.
  int64_t chunk_floats() const { return sum_floats() + n * tiles.rows; }
};

absl::Status GradInput(const KernelContext& context, float eps) {
  const float* dy = context.inputs[0].as<float>();
  const float* w = context.inputs[1].as<float>();
  float* dx = context.outputs[0].as<float>();
  const int64_t n = context.inputs[0].shape()[0];
  const int64_t c = context.inputs[1].shape()[0];
  const int64_t d = context.inputs[1].shape()[1];
  const GradInputChunks chunks(n, c, d);
  const ClassTiles& tiles = chunks.tiles;
  float* workspace = static_cast<float*>(context.workspace);
  auto one_chunk = [&](int64_t chunk) -> absl::Status {
    float inverse[ClassTiles::kMaxRows];
    float* sum = workspace + chunk * chunks.chunk_floats();
    float* scaled = sum + chunks.sum_floats();
    const int64_t first = chunk * tiles.count / chunks.count;
    const int64_t last = (chunk + 1) * tiles.count / chunks.count;
    for (int64_t t = first; t < last; ++t) {
      const Range classes = tiles[t];
      const float* w_tile = w + classes.begin * d;
      InverseNorms(w_tile, classes.size(), d, eps, inverse);
      ScaleColumns(dy + classes.begin, c, n, classes.size(), inverse, scaled,
                   classes.size());
      RETURN_IF_ERROR(Gemm(n, d, classes.size(),
                           {scaled, classes.size(), false}, {w_tile, d, false},
                           /*beta=*/t == first ? 0 : 1, sum, d));
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ParallelForStatus(
      chunks.count, 1, [&](int64_t first, int64_t last) -> absl::Status {
        for (int64_t chunk = first; chunk < last; ++chunk) {
          RETURN_IF_ERROR(one_chunk(chunk));
        }
        return absl::OkStatus();
      }));
  ParallelForElements(chunks.sum_floats(), [&](auto v, int64_t i) {
    using V = decltype(v);
    V sum = Load<V>(workspace + i);
    for (int64_t chunk = 1; chunk < chunks.count; ++chunk) {
      sum += Load<V>(workspace + chunk * chunks.chunk_floats() + i);
    }
    Store<V>(dx + i, sum);
  });
  return absl::OkStatus();
}

// At most so many threads work on the update, each with a tile of
// products [rows, D] in the workspace.
constexpr int64_t kMaxSgdThreads = 64;

absl::StatusOr<int64_t> SgdWorkspaceBytes(const KernelSpec& spec) {
  const Shape& w = spec.inputs[0].shape;
  const ClassTiles tiles(w[0], w[1]);
  return std::min(kMaxSgdThreads, tiles.count) * tiles.rows * w[1] *
         kFloatBytes;
}

// One row of w with its product, (dy^T x)_j.
void UpdateRow(const SgdStep& step, float eps, const float* product, int64_t d,
               float* w, float* velocity) {
  const RowNorm norm = RowNormOf(Dot(w, w, d), eps);
  const float projection = Projection(norm, Dot(w, product, d));
  ForElements(0, d, [&](auto v, int64_t i) {
    using V = decltype(v);
    V weight = Load<V>(w + i);
    V momentum = Load<V>(velocity + i);
    step(&weight, &momentum,
         NormalizeGradient(Load<V>(product + i), weight, norm, projection));
    Store<V>(w + i, weight);
    Store<V>(velocity + i, momentum);
  });
}

absl::Status Sgd(const KernelContext& context, const SgdStep& constants,
                 float eps) {
  const std::optional<SgdStep> step = SgdOfThisRun(constants, context, 4);
  if (!step.has_value()) return absl::OkStatus();
  float* w = context.inputs[0].as<float>();
  float* velocity = context.inputs[1].as<float>();
  const float* x = context.inputs[2].as<float>();
  const float* dy = context.inputs[3].as<float>();
  const int64_t n = context.inputs[2].shape()[0];
  const int64_t c = context.inputs[0].shape()[0];
  const int64_t d = context.inputs[0].shape()[1];
  const ClassTiles tiles(c, d);
  const int64_t grain = (tiles.count + kMaxSgdThreads - 1) / kMaxSgdThreads;
  return ParallelForStatus(
      tiles.count, grain, [&](int64_t first, int64_t last) -> absl::Status {
        float* products = static_cast<float*>(context.workspace) +
                          omp_get_thread_num() * tiles.rows * d;
        for (int64_t t = first; t < last; ++t) {
          const Range classes = tiles[t];
          RETURN_IF_ERROR(Gemm(classes.size(), d, n,
                               {dy + classes.begin, c, true}, {x, d, false},
                               /*beta=*/0, products, d));
          for (int64_t j = 0; j < classes.size(); ++j) {
            const int64_t row = (classes.begin + j) * d;
            UpdateRow(*step, eps, products + j * d, d, w + row, velocity + row);
          }
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
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([eps = EpsOf(spec)](const KernelContext& context) {
      return Forward(context, eps);
    });
  };
  return def;
}

KernelDef CosineLinearGradInputCpuKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    const Shape& w = spec.inputs[1].shape;
    const GradInputChunks chunks(spec.inputs[0].shape[0], w[0], w[1]);
    return chunks.count * chunks.chunk_floats() * kFloatBytes;
  };
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([eps = EpsOf(spec)](const KernelContext& context) {
      return GradInput(context, eps);
    });
  };
  return def;
}

KernelDef CosineLinearSgdCpuKernel() {
  KernelDef def;
  def.workspace_bytes = SgdWorkspaceBytes;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel(
        [eps = EpsOf(spec), constants = SgdConstants(spec.attributes)](
            const KernelContext& context) {
          return Sgd(context, constants, eps);
        });
  };
  return def;
}

}  // namespace facet::ops
