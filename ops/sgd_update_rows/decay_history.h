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
// R steps are enough for rows of any age: each step also catches up 1 in R/2
// rows (SweptRows), so none is older than that.
//
// The history is a tensor float32 [4, R]: lines a, b, c, d; what belongs to
// steps since s is in column s % R. How kernels read it: decay_history_view.h
// on CPUs, device_row_state.h on GPUs.
#ifndef FACET_OPS_SGD_UPDATE_ROWS_DECAY_HISTORY_H_
#define FACET_OPS_SGD_UPDATE_ROWS_DECAY_HISTORY_H_

#include <algorithm>
#include <cstdint>

#include "ops/host_device.h"

namespace facet::ops {

// V: float, or a vector of floats.
template <typename V>
struct Decay {
  V a = {}, b = {}, c = {}, d = V{} + 1.0f;

  FACET_HOST_DEVICE void Apply(V* weight, V* velocity) const {
    const V w = *weight;
    *weight = w - (a * w + b * *velocity);
    *velocity = c * w + d * *velocity;
  }
  // This, and then one step more.
  FACET_HOST_DEVICE Decay Then(float learning_rate, float momentum,
                               float weight_decay) const {
    Decay next;
    next.c = c * momentum + (1.0f - a) * weight_decay;
    next.d = d * momentum - b * weight_decay;
    next.a = a + next.c * learning_rate;
    next.b = b + next.d * learning_rate;
    return next;
  }
};

// Whether a history of `steps` steps knows, at the beginning of step `now`,
// what steps since ... now-1 did. The kernels keep it so for all rows, but
// variables can be written to.
FACET_HOST_DEVICE inline bool HistoryReaches(int64_t since, int64_t now,
                                             int64_t steps) {
  return since >= 0 && since <= now && now - since <= steps;
}

// catch_up_rows comes between two steps, has the number of the second, and must
// not round by the same random numbers: its key, from the attribute.
inline int64_t CatchUpRoundingKey(int64_t key) { return key ^ 0x80000000; }

// Rows first, first + period, ... of a share.
struct RowStride {
  int64_t first = 0;
  int64_t period = 1;
  int64_t count = 0;
};

// Those that step `now` catches up, listed or not: which are `now` modulo the
// period in the whole matrix. The share has `rows` rows, `offset` is its first.
inline RowStride SweptRows(int64_t now, int64_t history_steps, int64_t offset,
                           int64_t rows) {
  const int64_t period = std::max<int64_t>(1, history_steps / 2);
  const int64_t first = ((now - offset) % period + period) % period;
  return {first, period, first < rows ? (rows - first - 1) / period + 1 : 0};
}

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_ROWS_DECAY_HISTORY_H_
