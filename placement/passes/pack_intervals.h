// PackIntervals: addresses for blocks of memory that are each alive for a
// while ("dynamic storage allocation", NP-hard; Robson 1974 and later): blocks
// alive at the same time do not overlap, and the highest address is as low as
// a few heuristics get it.
#ifndef FACET_PLACEMENT_PASSES_PACK_INTERVALS_H_
#define FACET_PLACEMENT_PASSES_PACK_INTERVALS_H_

#include <cstdint>
#include <vector>

namespace facet::placement {

// Alive at the times start, start + 1 ... end.
struct Interval {
  int64_t size = 0;
  int start = 0;
  int end = 0;
};

struct Packing {
  std::vector<int64_t> offset;  // By interval.
  int64_t height = 0;           // The end of the highest.
};

// The most that is alive at one time: no packing is lower.
int64_t LiveBytes(const std::vector<Interval>& intervals);

// Deterministic; the effort is bounded by a count of operations, not by time.
// Offsets are sums of sizes: aligned if the sizes are.
Packing PackIntervals(const std::vector<Interval>& intervals);

// The textbook heuristics, to compare with: every block in turn at the lowest
// address where it fits.
enum class GreedyOrder {
  kSize,      // Largest first.
  kLifetime,  // Longest alive first.
  kStart,     // As they are needed, as an allocator would (first fit).
};
Packing PackGreedily(const std::vector<Interval>& intervals, GreedyOrder order);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_PACK_INTERVALS_H_
