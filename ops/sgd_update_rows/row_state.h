// The rows of a weight with their optimizer state, as the kernels that update
// listed rows see them: of this device, and caught up first if the updates are
// lazy (decay_history.h).
#ifndef FACET_OPS_SGD_UPDATE_ROWS_ROW_STATE_H_
#define FACET_OPS_SGD_UPDATE_ROWS_ROW_STATE_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/parallel_status.h"
#include "ops/row_list_view.h"
#include "ops/sgd_update_rows/decay_history.h"
#include "ops/status_macros.h"

namespace facet::ops {

class RowState {
 public:
  // Inputs 0 and 1 of the op are weight and momentum; if `lazy`, 2 and 3 are
  // updated and history.
  RowState(const KernelContext& context, bool lazy)
      : slice_(context.inputs[0].slice),
        columns_(slice_.shape[1]),
        weight_(context.inputs[0].as<float>()),
        momentum_(context.inputs[1].as<float>()) {
    if (!lazy) return;
    updated_ = context.inputs[2].as<int32_t>();
    history_.emplace(context.inputs[3], context.step);
  }

  const TensorSlice& slice() const { return slice_; }
  int64_t columns() const { return columns_; }
  float* weight(int64_t row) const { return weight_ + row * columns_; }
  float* momentum(int64_t row) const { return momentum_ + row * columns_; }

  // Starts to load the row.
  void Prefetch(int64_t row) const {
    PrefetchRow(weight(row), columns_);
    PrefetchRow(momentum(row), columns_);
  }

  // The row becomes what it is at the beginning of this step. Nothing to do if
  // updates are not lazy. Errors: as DecayHistory::Since.
  absl::Status CatchUp(int64_t row) const {
    if (updated_ == nullptr) return absl::OkStatus();
    ASSIGN_OR_RETURN(const Decay<float> decay, history_->Since(updated_[row]));
    if (updated_[row] == history_->now()) return absl::OkStatus();
    float* w = weight(row);
    float* m = momentum(row);
    ForElements(0, columns_, [&](auto v, int64_t i) {
      using V = decltype(v);
      V value = Load<V>(w + i);
      V velocity = Load<V>(m + i);
      Widen<V>(decay).Apply(&value, &velocity);
      Store<V>(w + i, value);
      Store<V>(m + i, velocity);
    });
    updated_[row] = static_cast<int32_t>(history_->now());
    return absl::OkStatus();
  }

  // Call when the row, caught up, has taken its step.
  void SetUpdated(int64_t row) const {
    if (updated_ != nullptr) {
      updated_[row] = static_cast<int32_t>(history_->now()) + 1;
    }
  }

  // Catches up the rows that could grow too old for the history. After all
  // rows of this step.
  absl::Status Sweep() const {
    if (updated_ == nullptr) return absl::OkStatus();
    const int64_t now = history_->now();
    const int64_t period = SweepSteps(history_->steps());
    // The first row of the share that is `now` modulo the period.
    const int64_t first = ((now - slice_.offset[0]) % period + period) % period;
    const int64_t rows = slice_.shape[0];
    const int64_t count = first < rows ? (rows - first - 1) / period + 1 : 0;
    return ForRows(count, [&](int64_t i) {
      const int64_t row = first + i * period;
      // It may have taken this step.
      return updated_[row] == now + 1 ? absl::OkStatus() : CatchUp(row);
    });
  }

  absl::Status CatchUpAll() const {
    return ForRows(slice_.shape[0], [&](int64_t row) { return CatchUp(row); });
  }

 private:
  template <typename Body>
  absl::Status ForRows(int64_t count, const Body& body) const {
    return ParallelForStatus(count, kElementwiseGrain / columns_ + 1,
                             [&](int64_t begin, int64_t end) -> absl::Status {
                               for (int64_t i = begin; i < end; ++i) {
                                 RETURN_IF_ERROR(body(i));
                               }
                               return absl::OkStatus();
                             });
  }

  const TensorSlice& slice_;
  const int64_t columns_;
  float* const weight_;
  float* const momentum_;
  int32_t* updated_ = nullptr;           // Null: not lazy.
  std::optional<DecayHistory> history_;  // If lazy.
};

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_ROWS_ROW_STATE_H_
