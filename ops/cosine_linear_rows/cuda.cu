// Tiles of entries of the row list: cuBLAS makes the product dy^T x of a tile,
// then a warp per entry takes the step of its row, wherever that lies. The host
// sees neither the list nor whether the step is skipped: grids and products
// have room for all entries, and warps without a row return.
//
// Of the listed rows, weight and momentum are read and written, 16 bytes per
// element of 32 bits, and dy is read; (2 N + 15) operations per element, 22 in
// place of 15 if updates are lazy: the least there is, padding aside. A tile's
// product stays in the second cache (device_tiles.h).
#include <cstdint>

#include "ops/cosine_linear/device_tiles.h"
#include "ops/cosine_linear/device_update.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/row_list_index.h"
#include "ops/cuda/warp_per_row.h"
#include "ops/kernel.h"
#include "ops/may_round_attribute.h"
#include "ops/sgd_update/device_sgd.h"
#include "ops/sgd_update/device_state.h"
#include "ops/sgd_update/rounding_stream.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/sgd_update_rows/device_row_state.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// What a kernel is made with.
struct Update {
  cublasContext* cublas = nullptr;
  SgdStep constants;
  float eps = 0;
  bool may_round = false;
  int64_t key = 0;  // Of the rounding.
};

// The operands: w, momentum, [updated, history,] rows, x, dy, scalars.
template <bool kLazy>
inline constexpr size_t kRows = kLazy ? 4 : 2;

// `entry`: the tile's first. `updated` and `history` are empty if updates are
// not lazy.
template <bool kLazy, int kWidth, int kVectors, typename W, typename M>
__global__ void __launch_bounds__(kBlockThreads)
    UpdateListedKernel(RowListIndex list, RowShare share, SgdStep step,
                       DeviceSgdScalars scalars, float eps, int64_t entry,
                       DeviceSpan<const float> products, DeviceSpan<W> weight,
                       DeviceSpan<M> momentum, DeviceSpan<int32_t> updated,
                       DeviceSpan<const float> history,
                       DeviceSpan<const int32_t> rows) {
  const int64_t d = share.columns;
  const int64_t product = RowOfWarp() * d;
  if (product >= products.size() || !SgdOfThisRun(scalars, &step)) return;
  const int64_t row = list.Row(rows, entry + RowOfWarp());
  if (row < 0) return;
  Decay<float> missed;
  if constexpr (kLazy) {
    missed = DecaySince(history, updated.Load(row), share.now);
    __syncwarp();  // All lanes have read `updated`.
    if (Lane() == 0) updated.Store(row, static_cast<int32_t>(share.now) + 1);
  }
  UpdateClass<kWidth, kVectors>(
      step, eps, products.Part(product, d), weight.Part(row * d, d),
      momentum.Part(row * d, d), share.rounding, (share.offset + row) * d,
      [&](float* w, float* m) {
        if constexpr (kLazy) missed.Apply(w, m);
      });
}

// W, M: how weight and momentum are stored.
template <bool kLazy, typename W, typename M>
absl::Status UpdateListed(const Update& update, const KernelContext& context,
                          const RandomStream& rounding) {
  const TensorView& weight = context.inputs[0];
  const TensorView& rows = context.inputs[kRows<kLazy>];
  const RowListIndex list(rows.slice, weight.slice);
  const RowShare share(context, weight.slice, rounding);
  DeviceSpan<int32_t> updated;
  DeviceSpan<const float> history;
  if constexpr (kLazy) {
    updated = DeviceSpan<int32_t>(context.inputs[2]);
    history = DeviceSpan<const float>(context.inputs[3]);
  }
  auto update_tile = [&](Range entries, DeviceSpan<const float> products) {
    return VisitRowShape(share.columns, [&](auto width, auto vectors) {
      return Launch(UpdateListedKernel<kLazy, decltype(width)::value,
                                       decltype(vectors)::value, W, M>,
                    WarpPerRow(entries.size()), context.cuda->stream(), list,
                    share, update.constants,
                    SgdScalarsOf(context, kRows<kLazy> + 3), update.eps,
                    entries.begin, products, DeviceSpan<W>(weight),
                    DeviceSpan<M>(context.inputs[1]), updated, history,
                    DeviceSpan<const int32_t>(rows));
    });
  };
  return ForGradientTiles(
      update.cublas, update.may_round, context.inputs[kRows<kLazy> + 1],
      context.inputs[kRows<kLazy> + 2], context.workspace, update_tile);
}

template <bool kLazy>
KernelDef UpdateKernel() {
  KernelDef def;
  def.depends_on_step = AlwaysDependsOnStep;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    return DeviceTiles(spec.inputs[kRows<kLazy>].num_elements(),
                       spec.inputs[0].shape[1])
        .workspace_bytes();
  };
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    Update update;
    ASSIGN_OR_RETURN(update.cublas, spec.cuda->cublas());
    update.constants = SgdConstants(spec.attributes);
    update.eps = static_cast<float>(spec.attributes.Float("eps"));
    update.may_round = spec.attributes.Bool(kMayRound);
    update.key = spec.attributes.Int("key");
    return Kernel([update](const KernelContext& context) -> absl::Status {
      const RandomStream rounding = RoundingStream(context, update.key);
      RETURN_IF_ERROR(VisitDeviceState(
          context.inputs[0], context.inputs[1], [&](auto w, auto m) {
            return UpdateListed<kLazy, decltype(w), decltype(m)>(
                update, context, rounding);
          }));
      return kLazy ? SweepRows(context, rounding) : absl::OkStatus();
    });
  };
  return def;
}

}  // namespace

KernelDef CosineLinearSgdRowsCudaKernel() {
  return UpdateKernel</*kLazy=*/false>();
}

KernelDef CosineLinearSgdRowsLazilyCudaKernel() {
  return UpdateKernel</*kLazy=*/true>();
}

}  // namespace facet::ops
