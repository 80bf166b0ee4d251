// How CPU kernels read the history of decay_history.h.
#ifndef FACET_OPS_SGD_UPDATE_ROWS_DECAY_HISTORY_VIEW_H_
#define FACET_OPS_SGD_UPDATE_ROWS_DECAY_HISTORY_VIEW_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ops/float8.h"
#include "ops/kernel.h"
#include "ops/sgd_update_rows/decay_history.h"

namespace facet::ops {

template <typename V>
Decay<V> Widen(const Decay<float>& decay) {
  return {Broadcast<V>(decay.a), Broadcast<V>(decay.b), Broadcast<V>(decay.c),
          Broadcast<V>(decay.d)};
}

class DecayHistoryView {
 public:
  // At the beginning of step `now`.
  DecayHistoryView(const TensorView& history, int64_t now)
      : values_(history.as<float>()), steps_(history.shape()[1]), now_(now) {}

  int64_t steps() const { return steps_; }
  int64_t now() const { return now_; }

  // Of steps since ... now-1. InvalidArgument unless `since` is one of the last
  // R, or now.
  absl::StatusOr<Decay<float>> Since(int64_t since) const {
    if (since == now_) return Decay<float>();
    if (!HistoryReaches(since, now_, steps_)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a row was last updated in step ", since, ", it is step ", now_,
          " and the history has ", steps_, " steps: was a variable written?"));
    }
    const float* column = values_ + since % steps_;
    return Decay<float>{column[0], column[steps_], column[2 * steps_],
                        column[3 * steps_]};
  }

 private:
  const float* const values_;
  const int64_t steps_;
  const int64_t now_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_ROWS_DECAY_HISTORY_VIEW_H_
