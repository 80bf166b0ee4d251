// Work for which several steps, `every`, make one round: the first begins at a
// multiple of `every`. Steps are KernelContext::step.
#ifndef FACET_OPS_GRAPH_EVERY_H_
#define FACET_OPS_GRAPH_EVERY_H_

#include <cstdint>

namespace facet::ops {

// The first of the round.
inline bool StartsRound(int64_t every, int64_t step) {
  return every <= 1 || step % every == 0;
}

// The last of the round, in which what works once per round does: the others
// have prepared it.
inline bool EndsRound(int64_t every, int64_t step) {
  return every <= 1 || (step + 1) % every == 0;
}

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_EVERY_H_
