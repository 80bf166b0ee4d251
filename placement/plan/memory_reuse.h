// FindReuse: who follows whom at each address of an arena. Shared by the
// memory planner, which orders them, and the validator, which checks that.
#ifndef FACET_PLACEMENT_PLAN_MEMORY_REUSE_H_
#define FACET_PLACEMENT_PLAN_MEMORY_REUSE_H_

#include <cstdint>
#include <vector>

namespace facet::placement {

// Bytes [begin, end) that are written once in every step.
struct MemorySpan {
  int64_t begin = 0;
  int64_t end = 0;  // An empty span is ignored.
  int order = 0;    // When in the step it is written.
};

// `earlier` (index of a span) must have been used for the last time before
// `later` is written, `steps` steps later.
struct Reuse {
  int earlier = 0;
  int later = 0;
  int steps = 0;
  friend bool operator==(const Reuse& a, const Reuse& b) {
    return a.earlier == b.earlier && a.later == b.later && a.steps == b.steps;
  }
};

// For every address its spans in their order: each to its successor with steps
// 0, and the last to the first with steps 1. Being used up before the next is
// written carries over from neighbour to neighbour, so these pairs are enough.
// Sorted, each pair once. O(n log n).
std::vector<Reuse> FindReuse(const std::vector<MemorySpan>& spans);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_MEMORY_REUSE_H_
