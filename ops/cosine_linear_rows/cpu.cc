// Tiles of listed rows: the product dy^T x of a tile stays in a core's cache
// while its rows, wherever they lie, take their step.
#include <omp.h>

#include "ops/cosine_linear/class_tiles.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/l2_normalize/normalize.h"
#include "ops/matmul/gemm.h"
#include "ops/parallel_status.h"
#include "ops/row_list_view.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/sgd_update_rows/row_state.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// At most so many threads work on the update, each with a tile of products
// [rows, D] in the workspace.
constexpr int64_t kMaxThreads = 64;

struct Update {
  SgdStep constants;
  float eps = 0;
  bool lazy = false;
  size_t rows() const { return lazy ? 4 : 2; }
};

// One row of w with its product, (dy^T x)_j.
absl::Status UpdateRow(const SgdStep& step, float eps, const float* product,
                       const RowState& state, int64_t row) {
  RETURN_IF_ERROR(state.CatchUp(row));
  const int64_t d = state.columns();
  float* w = state.weight(row);
  float* velocity = state.momentum(row);
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
  state.SetUpdated(row);
  return absl::OkStatus();
}

absl::Status UpdateListed(const KernelContext& context, const Update& update,
                          const SgdStep& step, const RowState& state) {
  const RowListView list(context.inputs[update.rows()], state.slice());
  const float* x = context.inputs[update.rows() + 1].as<float>();
  const float* dy = context.inputs[update.rows() + 2].as<float>();
  const int64_t n = context.inputs[update.rows() + 1].shape()[0];
  const int64_t d = state.columns();
  const ClassTiles tiles(list.count(), d, ClassTiles::kMaxRows);
  const int64_t grain = (tiles.count + kMaxThreads - 1) / kMaxThreads;
  auto prefetch = [&](int64_t row) { state.Prefetch(row); };
  return ParallelForStatus(
      tiles.count, grain, [&](int64_t first, int64_t last) -> absl::Status {
        float* products = static_cast<float*>(context.workspace) +
                          omp_get_thread_num() * tiles.rows * d;
        for (int64_t t = first; t < last; ++t) {
          const Range entries = tiles[t];
          RETURN_IF_ERROR(Gemm(entries.size(), d, n,
                               {dy + entries.begin, list.count(), true},
                               {x, d, false}, /*beta=*/0, products, d));
          auto one = [&](int64_t entry, int64_t row) {
            if (row < 0) return absl::OkStatus();
            const float* product = products + (entry - entries.begin) * d;
            return UpdateRow(step, update.eps, product, state, row);
          };
          RETURN_IF_ERROR(
              list.ForEntries(entries.begin, entries.end, prefetch, one));
        }
        return absl::OkStatus();
      });
}

absl::Status Run(const KernelContext& context, const Update& update) {
  const RowState state(context, update.lazy);
  const std::optional<SgdStep> step =
      SgdOfThisRun(update.constants, context, update.rows() + 3);
  if (step.has_value()) {
    RETURN_IF_ERROR(UpdateListed(context, update, *step, state));
  }
  return state.Sweep();
}

KernelDef UpdateKernel(bool lazy) {
  Update update;
  update.lazy = lazy;
  KernelDef def;
  def.workspace_bytes =
      [update](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    const int64_t d = spec.inputs[0].shape[1];
    const ClassTiles tiles(spec.inputs[update.rows()].num_elements(), d,
                           ClassTiles::kMaxRows);
    return std::min(kMaxThreads, tiles.count) * tiles.rows * d *
           static_cast<int64_t>(sizeof(float));
  };
  def.create = [update](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    Update of_task = update;
    of_task.constants = SgdConstants(spec.attributes);
    of_task.eps = static_cast<float>(spec.attributes.Float("eps"));
    return Kernel([of_task](const KernelContext& context) {
      return Run(context, of_task);
    });
  };
  return def;
}

}  // namespace

KernelDef CosineLinearSgdRowsCpuKernel() {
  return UpdateKernel(/*lazy=*/false);
}

KernelDef CosineLinearSgdRowsLazilyCpuKernel() {
  return UpdateKernel(/*lazy=*/true);
}

}  // namespace facet::ops
