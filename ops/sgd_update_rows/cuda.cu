// A warp per listed row. The host sees neither the list nor whether the step is
// skipped: the grid has room for all entries, and warps without a row return.
#include <cstdint>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/row_list_index.h"
#include "ops/cuda/warp_per_row.h"
#include "ops/kernel.h"
#include "ops/sgd_update/device_sgd.h"
#include "ops/sgd_update/rounding_stream.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/sgd_update_rows/decay_history.h"
#include "ops/sgd_update_rows/device_row_state.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// Reads weight, momentum and gradient of the listed rows and writes the first
// two: 20 bytes and 7 operations per element of 32 bits, 13 if it is caught up;
// 12 bytes and a random word of 16. `updated` and `history` are empty if
// updates are not lazy.
template <bool kLazy, int kWidth, typename W, typename M>
__global__ void __launch_bounds__(kBlockThreads)
    UpdateRowsKernel(RowListIndex list, RowShare share, SgdStep step,
                     DeviceSgdScalars scalars, DeviceSpan<W> weight,
                     DeviceSpan<M> momentum, DeviceSpan<int32_t> updated,
                     DeviceSpan<const float> history,
                     DeviceSpan<const int32_t> rows,
                     DeviceSpan<const float> gradient) {
  const int64_t entry = RowOfWarp();
  if (entry >= list.count() || !SgdOfThisRun(scalars, &step)) return;
  const int64_t row = list.Row(rows, entry);
  if (row < 0) return;
  Decay<float> missed;
  if constexpr (kLazy) {
    missed = DecaySince(history, updated.Load(row), share.now);
  }
  ForRowVectors<kWidth>(share.columns, [&](int64_t i) {
    const Vector<float, kWidth> g =
        gradient.LoadVector<kWidth>(entry * share.columns + i);
    UpdateRowVector<kWidth>(share, row, i, weight, momentum,
                            [&](float* w, float* m, int k) {
                              if constexpr (kLazy) missed.Apply(w, m);
                              step(w, m, g.element[k]);
                            });
  });
  if constexpr (kLazy) {
    __syncwarp();  // All lanes have read `updated`.
    if (Lane() == 0) updated.Store(row, static_cast<int32_t>(share.now) + 1);
  }
}

// W, M: how weight and momentum are stored.
template <bool kLazy, typename W, typename M>
absl::Status UpdateRows(const KernelContext& context, const SgdStep& step,
                        const RandomStream& rounding) {
  constexpr size_t kRows = kLazy ? 4 : 2;  // That input is the list.
  const TensorView& weight = context.inputs[0];
  const TensorView& rows = context.inputs[kRows];
  const RowListIndex list(rows.slice, weight.slice);
  if (list.count() == 0) return absl::OkStatus();
  const RowShare share(context, weight.slice, rounding);
  DeviceSpan<int32_t> updated;
  DeviceSpan<const float> history;
  if constexpr (kLazy) {
    updated = DeviceSpan<int32_t>(context.inputs[2]);
    history = DeviceSpan<const float>(context.inputs[3]);
  }
  return VisitRowWidth(share.columns, [&](auto width) {
    return Launch(UpdateRowsKernel<kLazy, decltype(width)::value, W, M>,
                  WarpPerRow(list.count()), context.cuda->stream(), list, share,
                  step, SgdScalarsOf(context, kRows + 2), DeviceSpan<W>(weight),
                  DeviceSpan<M>(context.inputs[1]), updated, history,
                  DeviceSpan<const int32_t>(rows),
                  DeviceSpan<const float>(context.inputs[kRows + 1]));
  });
}

template <bool kLazy>
KernelDef UpdateKernel() {
  KernelDef def;
  def.depends_on_step = AlwaysDependsOnStep;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([step = SgdConstants(spec.attributes),
                   key = spec.attributes.Int("key")](
                      const KernelContext& context) -> absl::Status {
      const RandomStream rounding = RoundingStream(context, key);
      RETURN_IF_ERROR(VisitDeviceState(
          context.inputs[0], context.inputs[1], [&](auto w, auto m) {
            return UpdateRows<kLazy, decltype(w), decltype(m)>(context, step,
                                                               rounding);
          }));
      return kLazy ? SweepRows(context, rounding) : absl::OkStatus();
    });
  };
  return def;
}

// A thread has the steps since one: reads and writes 16 bytes, 8 operations.
__global__ void UpdateHistoryKernel(SgdStep step, int64_t now,
                                    DeviceSpan<const float> learning_rate,
                                    DeviceSpan<const float> skip,
                                    DeviceSpan<float> history) {
  const int64_t steps = history.size() / 4;
  const bool skipped = skip.size() > 0 && skip.Load(0) != 0;
  for (int64_t i = GridThread(); i < steps; i += GridThreads()) {
    Decay<float> decay;
    // The column of the oldest step begins anew.
    if (i != now % steps) {
      decay = {history.Load(i), history.Load(steps + i),
               history.Load(2 * steps + i), history.Load(3 * steps + i)};
    }
    if (!skipped) {
      decay =
          decay.Then(learning_rate.Load(0), step.momentum, step.weight_decay);
    }
    history.Store(i, decay.a);
    history.Store(steps + i, decay.b);
    history.Store(2 * steps + i, decay.c);
    history.Store(3 * steps + i, decay.d);
  }
}

absl::Status UpdateHistory(const KernelContext& context, const SgdStep& step) {
  const TensorView& history = context.inputs[0];
  DeviceSpan<const float> skip;
  if (context.inputs.size() > 2) {
    skip = DeviceSpan<const float>(context.inputs[2]);
  }
  return Launch(UpdateHistoryKernel,
                {dim3(context.cuda->BlocksFor(history.shape()[1]))},
                context.cuda->stream(), step, context.step,
                DeviceSpan<const float>(context.inputs[1]), skip,
                DeviceSpan<float>(history));
}

}  // namespace

KernelDef SgdUpdateRowsCudaKernel() { return UpdateKernel</*kLazy=*/false>(); }

KernelDef SgdUpdateRowsLazilyCudaKernel() {
  return UpdateKernel</*kLazy=*/true>();
}

KernelDef DecayHistoryUpdateCudaKernel() {
  KernelDef def;
  def.depends_on_step = AlwaysDependsOnStep;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel(
        [step = SgdConstants(spec.attributes)](const KernelContext& context) {
          return UpdateHistory(context, step);
        });
  };
  return def;
}

KernelDef CatchUpRowsCudaKernel() {
  KernelDef def;
  def.depends_on_step = AlwaysDependsOnStep;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const int64_t key = CatchUpRoundingKey(spec.attributes.Int("key"));
    return Kernel([key](const KernelContext& context) {
      const RowStride all = {0, 1, context.inputs[0].shape()[0]};
      return CatchUp(context, all, RoundingStream(context, key));
    });
  };
  return def;
}

}  // namespace facet::ops
