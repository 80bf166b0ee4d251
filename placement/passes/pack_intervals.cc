#include "placement/passes/pack_intervals.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace facet::placement {
namespace {

// Comparisons spent on improving, once the plain orders are done: some 50 ms.
constexpr int64_t kImproveEffort = 40'000'000;

// Blocks at their addresses, lowest first.
class Shelf {
 public:
  explicit Shelf(const std::vector<Interval>* intervals)
      : intervals_(intervals) {
    packing_.offset.assign(intervals->size(), 0);
  }

  // At the lowest address where it fits or, with `tightest`, in the smallest
  // gap that is large enough.
  void Place(int id, bool tightest) {
    const Interval& interval = (*intervals_)[id];
    int64_t top = 0;  // Of what has been passed and is alive with it.
    int64_t best = -1;
    int64_t best_gap = 0;
    for (const Placed& p : placed_) {
      ++effort_;
      if (p.end < interval.start || p.start > interval.end) continue;
      const int64_t gap = p.offset - top;
      if (gap >= interval.size && (best < 0 || gap < best_gap)) {
        best = top;
        best_gap = gap;
        if (!tightest) break;
      }
      top = std::max(top, p.top);
    }
    if (best < 0) best = top;
    const Placed placed{best, best + interval.size, interval.start,
                        interval.end};
    placed_.insert(std::upper_bound(placed_.begin(), placed_.end(), placed,
                                    [](const Placed& a, const Placed& b) {
                                      return a.offset < b.offset;
                                    }),
                   placed);
    packing_.offset[id] = best;
    packing_.height = std::max(packing_.height, placed.top);
  }

  const Packing& packing() const { return packing_; }
  int64_t effort() const { return effort_; }

 private:
  struct Placed {
    int64_t offset;
    int64_t top;
    int start;
    int end;
  };
  const std::vector<Interval>* intervals_;
  std::vector<Placed> placed_;
  Packing packing_;
  int64_t effort_ = 0;
};

struct Attempt {
  std::vector<int> order;
  bool tightest = false;
  Shelf shelf;
};

Attempt Try(const std::vector<Interval>& intervals, std::vector<int> order,
            bool tightest) {
  Attempt attempt{std::move(order), tightest, Shelf(&intervals)};
  for (int id : attempt.order) attempt.shelf.Place(id, tightest);
  return attempt;
}

// Sorted by key, largest first; ties in the given order.
template <typename Key>
std::vector<int> Largest(std::vector<int> ids, const Key& key) {
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int a, int b) { return key(a) > key(b); });
  return ids;
}

}  // namespace

int64_t LiveBytes(const std::vector<Interval>& intervals) {
  int times = 0;
  for (const Interval& i : intervals) times = std::max(times, i.end + 1);
  std::vector<int64_t> change(times + 1, 0);
  for (const Interval& i : intervals) {
    change[i.start] += i.size;
    change[i.end + 1] -= i.size;
  }
  int64_t live = 0;
  int64_t most = 0;
  for (int64_t c : change) {
    live += c;
    most = std::max(most, live);
  }
  return most;
}

Packing PackIntervals(const std::vector<Interval>& intervals) {
  if (intervals.empty()) return {};
  const int64_t bound = LiveBytes(intervals);
  // Small blocks find room between the others: only the large ones are
  // searched over.
  std::vector<int> large;
  std::vector<int> small;
  for (size_t i = 0; i < intervals.size(); ++i) {
    (intervals[i].size >= bound / 4096 ? large : small)
        .push_back(static_cast<int>(i));
  }
  auto size = [&](int i) { return static_cast<double>(intervals[i].size); };
  auto duration = [&](int i) {
    return static_cast<double>(intervals[i].end - intervals[i].start + 1);
  };
  small = Largest(std::move(small), size);

  // Longest first is best possible where lifetimes nest (activations, from
  // forward to backward); largest first where they do not.
  const std::vector<std::vector<int>> orders = {
      Largest(large, duration),
      Largest(large, [&](int i) { return size(i) * duration(i); }),
      Largest(large, size),
      Largest(large, [&](int i) { return -intervals[i].start; }),
      Largest(large, [&](int i) { return intervals[i].end; }),
  };
  Attempt best = Try(intervals, orders[0], false);
  auto keep_better = [&](Attempt attempt) {
    if (attempt.shelf.packing().height < best.shelf.packing().height) {
      best = std::move(attempt);
      return true;
    }
    return false;
  };
  for (size_t i = 0; i < orders.size(); ++i) {
    for (bool tightest : {false, true}) {
      if (best.shelf.packing().height <= bound) break;
      if (i > 0 || tightest) keep_better(Try(intervals, orders[i], tightest));
    }
  }

  // Improve: what sticks out at the top should have been placed earlier.
  int64_t effort = 0;
  std::vector<bool> moved(intervals.size(), false);
  while (best.shelf.packing().height > bound && effort < kImproveEffort) {
    int top = -1;
    size_t position = 0;
    for (size_t i = 0; i < best.order.size(); ++i) {
      const int id = best.order[i];
      if (!moved[id] && best.shelf.packing().offset[id] + intervals[id].size ==
                            best.shelf.packing().height) {
        top = id;
        position = i;
      }
    }
    if (top < 0) break;
    bool improved = false;
    for (size_t target = position; target > 0 && !improved;) {
      target /= 2;
      std::vector<int> order = best.order;
      std::rotate(order.begin() + target, order.begin() + position,
                  order.begin() + position + 1);
      Attempt attempt = Try(intervals, std::move(order), best.tightest);
      effort += attempt.shelf.effort() + 1;
      improved = keep_better(std::move(attempt));
      if (effort >= kImproveEffort) break;
    }
    // Each is tried once per height.
    if (improved) {
      std::fill(moved.begin(), moved.end(), false);
    } else {
      moved[top] = true;
    }
  }
  for (int id : small) best.shelf.Place(id, true);
  return best.shelf.packing();
}

Packing PackGreedily(const std::vector<Interval>& intervals,
                     GreedyOrder order) {
  std::vector<int> ids(intervals.size());
  std::iota(ids.begin(), ids.end(), 0);
  ids = Largest(std::move(ids), [&](int i) -> int64_t {
    switch (order) {
      case GreedyOrder::kSize:
        return intervals[i].size;
      case GreedyOrder::kLifetime:
        return intervals[i].end - intervals[i].start;
      case GreedyOrder::kStart:
        return -intervals[i].start;
    }
    return 0;
  });
  return Try(intervals, std::move(ids), false).shelf.packing();
}

}  // namespace facet::placement
