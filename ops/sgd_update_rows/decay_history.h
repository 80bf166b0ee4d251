// What steps without a gradient do to a row, many of them at once: how a row
// that was not sampled is caught up with SGD that updates all rows.
//
// Such a step is linear, in each weight w and its momentum m alone:
//
//   m' = momentum * m + weight_decay * w         w' = w - learning_rate * m'
//
// so any number of them is, too; four numbers say what steps s ... t-1 do:
//
//   w_t = w_s - (a * w_s + b * m_s)              m_t = c * w_s + d * m_s
//
// The history has them for every s of the last R steps before now (t); at the
// end of a step each is advanced by it (Then). A running product from step 0
// would need its inverse, which does not exist in floats: momentum^t is 0 after
// some hundred steps. Differences from the identity (a, b) are kept rather than
// factors near 1: they are sums of terms of one sign, so after n steps their
// relative error is some n roundings at most, of a number that is small while n
// is. The learning rate may be another in each step; a skipped step is the
// identity.
//
// R steps are enough for rows of any age: each step also catches up the rows
// with row % SweepSteps(R) == step % SweepSteps(R) (1 in R/2 rows), so none is
// older than that.
#ifndef FACET_OPS_SGD_UPDATE_ROWS_DECAY_HISTORY_H_
#define FACET_OPS_SGD_UPDATE_ROWS_DECAY_HISTORY_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ops/float8.h"
#include "ops/kernel.h"

namespace facet::ops {

inline int64_t SweepSteps(int64_t history_steps) {
  return std::max<int64_t>(1, history_steps / 2);
}

// V: float, or a vector of floats.
template <typename V>
struct Decay {
  V a = {}, b = {}, c = {}, d = V{} + 1.0f;

  void Apply(V* weight, V* velocity) const {
    const V w = *weight;
    *weight = w - (a * w + b * *velocity);
    *velocity = c * w + d * *velocity;
  }
  // This, and then one step more.
  Decay Then(float learning_rate, float momentum, float weight_decay) const {
    Decay next;
    next.c = c * momentum + (1.0f - a) * weight_decay;
    next.d = d * momentum - b * weight_decay;
    next.a = a + next.c * learning_rate;
    next.b = b + next.d * learning_rate;
    return next;
  }
};

template <typename V>
Decay<V> Widen(const Decay<float>& decay) {
  return {Broadcast<V>(decay.a), Broadcast<V>(decay.b), Broadcast<V>(decay.c),
          Broadcast<V>(decay.d)};
}

// A tensor float32 [4, R]: lines a, b, c, d; what belongs to steps since s is
// in column s % R.
class DecayHistory {
 public:
  // At the beginning of step `now`.
  DecayHistory(const TensorView& history, int64_t now)
      : values_(history.as<float>()), steps_(history.shape()[1]), now_(now) {}

  int64_t steps() const { return steps_; }
  int64_t now() const { return now_; }

  // Of steps since ... now-1. InvalidArgument unless `since` is one of the last
  // R, or now: the kernels keep it so, but variables can be written to.
  absl::StatusOr<Decay<float>> Since(int64_t since) const {
    if (since == now_) return Decay<float>();
    if (since < 0 || since > now_ || now_ - since > steps_) {
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

#endif  // FACET_OPS_SGD_UPDATE_ROWS_DECAY_HISTORY_H_
