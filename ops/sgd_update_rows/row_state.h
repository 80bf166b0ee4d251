// The rows of a weight with their optimizer state, as the kernels that update
// listed rows see them: of this device, and caught up first if the updates are
// lazy (decay_history.h).
//
// A row is read as it is stored, caught up and, if it is listed, takes its
// step, all in float32, and then is stored: what is bfloat16 is rounded once,
// however many steps a row has missed.
#ifndef FACET_OPS_SGD_UPDATE_ROWS_ROW_STATE_H_
#define FACET_OPS_SGD_UPDATE_ROWS_ROW_STATE_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/parallel_status.h"
#include "ops/row_list_view.h"
#include "ops/sgd_update/stored_state.h"
#include "ops/sgd_update_rows/decay_history.h"
#include "ops/sgd_update_rows/decay_history_view.h"
#include "ops/status_macros.h"

namespace facet::ops {

// What makes stored values those of the beginning of this step: nothing, where
// updates are not lazy.
struct NothingMissed {
  template <typename V>
  void operator()(V*, V*) const {}
};
struct MissedSteps {
  Decay<float> decay;
  template <typename V>
  void operator()(V* weight, V* momentum) const {
    Widen<V>(decay).Apply(weight, momentum);
  }
};

// W, M: how weight and momentum are stored.
template <typename W, typename M>
class RowState {
 public:
  // Inputs 0 and 1 of the op are weight and momentum; if `lazy`, 2 and 3 are
  // updated and history.
  RowState(const KernelContext& context, bool lazy,
           const RandomStream& rounding)
      : slice_(context.inputs[0].slice),
        columns_(slice_.shape[1]),
        weight_(context.inputs[0].as<W>()),
        momentum_(context.inputs[1].as<M>()),
        rounding_(rounding) {
    if (!lazy) return;
    updated_ = context.inputs[2].as<int32_t>();
    history_.emplace(context.inputs[3], context.step);
  }

  const TensorSlice& slice() const { return slice_; }
  int64_t columns() const { return columns_; }

  // Starts to load the row.
  void Prefetch(int64_t row) const {
    PrefetchRow(weight_ + row * columns_, columns_);
    PrefetchRow(momentum_ + row * columns_, columns_);
  }

  // The row takes this step: take_step(run, rounding, catch_up) does it, with
  // NothingMissed or MissedSteps to be applied to what it loads. Errors: as
  // DecayHistoryView::Since.
  template <typename TakeStep>
  absl::Status Update(int64_t row, const TakeStep& take_step) const {
    if (updated_ == nullptr) {
      take_step(Run(row), rounding_, NothingMissed());
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const Decay<float> decay, history_->Since(updated_[row]));
    take_step(Run(row), rounding_, MissedSteps{decay});
    updated_[row] = static_cast<int32_t>(history_->now()) + 1;
    return absl::OkStatus();
  }

  // Catches up the rows that could grow too old for the history. After all
  // rows of this step.
  absl::Status Sweep() const {
    if (updated_ == nullptr) return absl::OkStatus();
    const int64_t now = history_->now();
    const RowStride swept =
        SweptRows(now, history_->steps(), slice_.offset[0], slice_.shape[0]);
    return ForRows(swept.count, [&](int64_t i) {
      const int64_t row = swept.first + i * swept.period;
      // It may have taken this step.
      return updated_[row] == now + 1 ? absl::OkStatus() : CatchUp(row);
    });
  }

  absl::Status CatchUpAll() const {
    return ForRows(slice_.shape[0], [&](int64_t row) { return CatchUp(row); });
  }

 private:
  StateRun<W, M> Run(int64_t row) const {
    return {weight_ + row * columns_, momentum_ + row * columns_,
            (slice_.offset[0] + row) * columns_, columns_};
  }

  // The row becomes what it is at the beginning of this step.
  absl::Status CatchUp(int64_t row) const {
    ASSIGN_OR_RETURN(const Decay<float> decay, history_->Since(updated_[row]));
    if (updated_[row] == history_->now()) return absl::OkStatus();
    const MissedSteps catch_up = {decay};
    UpdateState(Run(row), rounding_,
                [&](auto* weight, auto* momentum, int64_t) {
                  catch_up(weight, momentum);
                });
    updated_[row] = static_cast<int32_t>(history_->now());
    return absl::OkStatus();
  }

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
  W* const weight_;
  M* const momentum_;
  const RandomStream rounding_;
  int32_t* updated_ = nullptr;               // Null: not lazy.
  std::optional<DecayHistoryView> history_;  // If lazy.
};

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_ROWS_ROW_STATE_H_
