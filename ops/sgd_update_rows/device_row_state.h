// The rows of a weight with their optimizer state, as CUDA kernels find them: a
// warp has a row, reads it as it is stored, catches it up (decay_history.h) and
// takes a step in float32, and then stores it. On CPUs: row_state.h.
//
// Where a row was last updated in a step that the history does not reach (was a
// variable written?), the host does not see it: the row becomes NaN.
#ifndef FACET_OPS_SGD_UPDATE_ROWS_DEVICE_ROW_STATE_H_
#define FACET_OPS_SGD_UPDATE_ROWS_DEVICE_ROW_STATE_H_

#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/device_span.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/warp_per_row.h"
#include "ops/kernel.h"
#include "ops/random.h"
#include "ops/sgd_update/device_state.h"
#include "ops/sgd_update_rows/decay_history.h"

namespace facet::ops {

// What steps since ... now-1 did to a row.
__device__ inline Decay<float> DecaySince(
    const DeviceSpan<const float>& history, int64_t since, int64_t now) {
  if (since == now) return Decay<float>();
  const int64_t steps = history.size() / 4;
  if (!HistoryReaches(since, now, steps)) return {NAN, NAN, NAN, NAN};
  const int64_t column = since % steps;
  return {history.Load(column), history.Load(steps + column),
          history.Load(2 * steps + column), history.Load(3 * steps + column)};
}

// What the rows of a share have in common: an argument of kernels.
struct RowShare {
  int64_t columns;
  int64_t offset;  // The first row's number in the whole matrix.
  int64_t now;     // The step.
  RandomStream rounding;

  RowShare(const KernelContext& context, const TensorSlice& weight,
           const RandomStream& rounding)
      : columns(weight.shape[1]),
        offset(weight.offset[0]),
        now(context.step),
        rounding(rounding) {}
};

// Vector [i, i + kWidth) of a row: step(&weight, &momentum, k) for each k.
template <int kWidth, typename W, typename M, typename Step>
__device__ inline void UpdateRowVector(const RowShare& share, int64_t row,
                                       int64_t i, const DeviceSpan<W>& weight,
                                       const DeviceSpan<M>& momentum,
                                       const Step& step) {
  UpdateState<kWidth>(weight, momentum, row * share.columns + i, share.rounding,
                      (share.offset + row) * share.columns + i, step);
}

// Reads weight and momentum of the rows and writes them: 16 bytes and 6
// operations per element of 32 bits, 8 bytes and a random word of 16.
template <int kWidth, typename W, typename M>
__global__ void __launch_bounds__(kBlockThreads)
    CatchUpKernel(RowShare share, RowStride rows, DeviceSpan<W> weight,
                  DeviceSpan<M> momentum, DeviceSpan<int32_t> updated,
                  DeviceSpan<const float> history) {
  const int64_t number = RowOfWarp();
  if (number >= rows.count) return;
  const int64_t row = rows.first + number * rows.period;
  const int64_t since = updated.Load(row);
  // It has missed nothing, or has taken this step.
  if (since == share.now || since == share.now + 1) return;
  const Decay<float> missed = DecaySince(history, since, share.now);
  ForRowVectors<kWidth>(share.columns, [&](int64_t i) {
    UpdateRowVector<kWidth>(
        share, row, i, weight, momentum,
        [&](float* w, float* m, int) { missed.Apply(w, m); });
  });
  __syncwarp();  // All lanes have read `updated`.
  if (Lane() == 0) updated.Store(row, static_cast<int32_t>(share.now));
}

// The rows become what they are at the beginning of this step, but for those
// that have taken it. Inputs 0 to 3 of the op are weight, momentum, updated and
// history.
inline absl::Status CatchUp(const KernelContext& context, const RowStride& rows,
                            const RandomStream& rounding) {
  if (rows.count == 0) return absl::OkStatus();
  const RowShare share(context, context.inputs[0].slice, rounding);
  return VisitDeviceState(
      context.inputs[0], context.inputs[1], [&](auto w, auto m) {
        return VisitRowWidth(share.columns, [&](auto width) {
          using W = decltype(w);
          using M = decltype(m);
          return Launch(CatchUpKernel<decltype(width)::value, W, M>,
                        WarpPerRow(rows.count), context.cuda->stream(), share,
                        rows, DeviceSpan<W>(context.inputs[0]),
                        DeviceSpan<M>(context.inputs[1]),
                        DeviceSpan<int32_t>(context.inputs[2]),
                        DeviceSpan<const float>(context.inputs[3]));
        });
      });
}

// Catches up the rows that could grow too old for the history. After the
// kernels in which rows take this step.
inline absl::Status SweepRows(const KernelContext& context,
                              const RandomStream& rounding) {
  const TensorSlice& weight = context.inputs[0].slice;
  return CatchUp(context,
                 SweptRows(context.step, context.inputs[3].shape()[1],
                           weight.offset[0], weight.shape[0]),
                 rounding);
}

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_ROWS_DEVICE_ROW_STATE_H_
