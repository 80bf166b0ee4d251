// A warp per entry of the list. The host does not see the list: an entry that
// names no row, and a row that cannot be caught up, become NaN.
#include <cmath>
#include <cstdint>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/row_list_index.h"
#include "ops/cuda/warp_per_row.h"
#include "ops/kernel.h"
#include "ops/sgd_update/device_state.h"
#include "ops/sgd_update_rows/decay_history.h"
#include "ops/sgd_update_rows/device_row_state.h"

namespace facet::ops {
namespace {

// What becomes of an entry without a row.
template <int kWidth>
__device__ Vector<float, kWidth> WithoutRow(int64_t row) {
  Vector<float, kWidth> y;
  for (float& element : y.element) {
    element = row == RowListIndex::kPadding ? 0.0f : NAN;
  }
  return y;
}

// Reads the listed rows and writes them: 8 bytes per element of 32 bits, 6 of
// 16.
template <int kWidth, typename W>
__global__ void __launch_bounds__(kBlockThreads)
    GatherKernel(RowListIndex list, int64_t columns,
                 DeviceSpan<const int32_t> rows, DeviceSpan<const W> weight,
                 DeviceSpan<float> y) {
  const int64_t entry = RowOfWarp();
  if (entry >= list.count()) return;
  const int64_t row = list.Row(rows, entry);
  ForRowVectors<kWidth>(columns, [&](int64_t i) {
    Vector<float, kWidth> value = WithoutRow<kWidth>(row);
    if (row >= 0) {
      const auto w = weight.template LoadVector<kWidth>(row * columns + i);
      for (int k = 0; k < kWidth; ++k) {
        value.element[k] = ToFloat(w.element[k]);
      }
    }
    y.StoreVector<kWidth>(entry * columns + i, value);
  });
}

// Reads the momentum, too; 4 operations per element.
template <int kWidth, typename W, typename M>
__global__ void __launch_bounds__(kBlockThreads)
    GatherLazilyKernel(RowListIndex list, int64_t columns, int64_t now,
                       DeviceSpan<const int32_t> rows,
                       DeviceSpan<const W> weight, DeviceSpan<const M> momentum,
                       DeviceSpan<const int32_t> updated,
                       DeviceSpan<const float> history, DeviceSpan<float> y) {
  const int64_t entry = RowOfWarp();
  if (entry >= list.count()) return;
  const int64_t row = list.Row(rows, entry);
  Decay<float> missed;
  if (row >= 0) missed = DecaySince(history, updated.Load(row), now);
  ForRowVectors<kWidth>(columns, [&](int64_t i) {
    Vector<float, kWidth> value = WithoutRow<kWidth>(row);
    if (row >= 0) {
      const auto w = weight.template LoadVector<kWidth>(row * columns + i);
      const auto m = momentum.template LoadVector<kWidth>(row * columns + i);
      for (int k = 0; k < kWidth; ++k) {
        float velocity = ToFloat(m.element[k]);
        value.element[k] = ToFloat(w.element[k]);
        missed.Apply(&value.element[k], &velocity);
      }
    }
    y.StoreVector<kWidth>(entry * columns + i, value);
  });
}

template <typename W>
absl::Status GatherRows(const KernelContext& context) {
  const TensorView& weight = context.inputs[0];
  const TensorView& rows = context.inputs[1];
  const RowListIndex list(rows.slice, weight.slice);
  if (list.count() == 0) return absl::OkStatus();
  const int64_t columns = weight.shape()[1];
  return VisitRowWidth(columns, [&](auto width) {
    return Launch(
        GatherKernel<decltype(width)::value, W>, WarpPerRow(list.count()),
        context.cuda->stream(), list, columns, DeviceSpan<const int32_t>(rows),
        DeviceSpan<const W>(weight), DeviceSpan<float>(context.outputs[0]));
  });
}

template <typename W, typename M>
absl::Status GatherRowsLazily(const KernelContext& context) {
  const TensorView& weight = context.inputs[0];
  const TensorView& rows = context.inputs[1];
  const RowListIndex list(rows.slice, weight.slice);
  if (list.count() == 0) return absl::OkStatus();
  const int64_t columns = weight.shape()[1];
  return VisitRowWidth(columns, [&](auto width) {
    return Launch(GatherLazilyKernel<decltype(width)::value, W, M>,
                  WarpPerRow(list.count()), context.cuda->stream(), list,
                  columns, context.step, DeviceSpan<const int32_t>(rows),
                  DeviceSpan<const W>(weight),
                  DeviceSpan<const M>(context.inputs[2]),
                  DeviceSpan<const int32_t>(context.inputs[3]),
                  DeviceSpan<const float>(context.inputs[4]),
                  DeviceSpan<float>(context.outputs[0]));
  });
}

KernelDef Stateless(absl::Status (*run)(const KernelContext&)) {
  KernelDef def;
  def.create = [run](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(run);
  };
  return def;
}

}  // namespace

KernelDef GatherRowsCudaKernel() {
  return Stateless([](const KernelContext& context) {
    return VisitStoredElement(context.inputs[0].dtype(), [&](auto w) {
      return GatherRows<decltype(w)>(context);
    });
  });
}

KernelDef GatherRowsLazilyCudaKernel() {
  KernelDef def = Stateless([](const KernelContext& context) {
    return VisitDeviceState(
        context.inputs[0], context.inputs[2], [&](auto w, auto m) {
          return GatherRowsLazily<decltype(w), decltype(m)>(context);
        });
  });
  def.depends_on_step = AlwaysDependsOnStep;
  return def;
}

}  // namespace facet::ops
