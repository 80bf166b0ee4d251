// Tiles of listed rows: the product dy^T x of a tile stays in a core's cache
// while its rows, wherever they lie, take their step.
#include <array>

#include "ops/cosine_linear/gradient_tiles.h"
#include "ops/kernel.h"
#include "ops/row_list_view.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/sgd_update_rows/row_state.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

struct Update {
  SgdStep constants;
  float eps = 0;
  int64_t key = 0;  // Of the rounding.
  bool lazy = false;
  size_t rows() const { return lazy ? 4 : 2; }
};

template <typename W, typename M>
absl::Status UpdateListed(const KernelContext& context, const Update& update,
                          const SgdStep& step, const RowState<W, M>& state) {
  const RowListView list(context.inputs[update.rows()], state.slice());
  const float* x = context.inputs[update.rows() + 1].as<float>();
  const float* dy = context.inputs[update.rows() + 2].as<float>();
  const int64_t n = context.inputs[update.rows() + 1].shape()[0];
  const GradientTiles gradient(n, list.count(), state.columns());
  auto prefetch = [&](int64_t row) { state.Prefetch(row); };
  return gradient.ForEach(
      x, dy, context.workspace,
      // Listed rows do not lie side by side: each is prefetched on its own.
      [](int64_t, int64_t) { return std::array<TileAhead, 2>(); },
      [&](Range entries, const float* products, int64_t stride) {
        auto one = [&](int64_t entry, int64_t row) {
          if (row < 0) return absl::OkStatus();
          const float* product = products + (entry - entries.begin) * stride;
          return state.Update(row, [&](const auto& run, const auto& rounding,
                                       const auto& catch_up) {
            UpdateClass(step, update.eps, product, run, rounding, catch_up);
          });
        };
        return list.ForEntries(entries.begin, entries.end, prefetch, one);
      });
}

template <typename W, typename M>
absl::Status Run(const KernelContext& context, const Update& update) {
  const RowState<W, M> state(context, update.lazy,
                             RoundingStream(context, update.key));
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
    const int64_t classes = spec.inputs[update.rows()].num_elements();
    return GradientTiles(spec.inputs[update.rows() + 1].shape[0], classes,
                         spec.inputs[0].shape[1])
        .workspace_bytes();
  };
  def.create = [update](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    Update of_task = update;
    of_task.constants = SgdConstants(spec.attributes);
    of_task.eps = static_cast<float>(spec.attributes.Float("eps"));
    of_task.key = spec.attributes.Int("key");
    return Kernel([of_task](const KernelContext& context) {
      return VisitState(
          context.inputs[0], context.inputs[1], [&](auto w, auto m) {
            return Run<decltype(w), decltype(m)>(context, of_task);
          });
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
