// HappensBefore: which task has certainly finished when another one starts, by
// the firing graph of a plan (firing.h). The memory planner asks it which
// waits reused memory needs, the validator whether they are there.
#ifndef FACET_PLACEMENT_PLAN_HAPPENS_BEFORE_H_
#define FACET_PLACEMENT_PLAN_HAPPENS_BEFORE_H_

#include <array>
#include <vector>

#include "placement/plan/firing.h"

namespace facet::placement {

// Where a step task runs. Tasks of one place run in the order of their index.
struct TaskPlace {
  int device = -1;
  int stream = -1;  // 0 ... kMaxStreams - 1; -1: not a step task.
};

// `after` in step s starts when `before` of step s - steps has finished.
struct Ordering {
  int before = 0;
  int after = 0;
  int steps = 0;  // 0 or 1.
  friend bool operator==(const Ordering& a, const Ordering& b) {
    return a.before == b.before && a.after == b.after && a.steps == b.steps;
  }
};

class HappensBefore {
 public:
  static constexpr int kMaxStreams = 4;

  // `edges`: on one device each; those with two tokens or more are not used.
  // `order`: the step tasks, topological in the edges without a token.
  // `required`: orderings to establish; `before` stands earlier in `order`
  // than `after` where steps is 0.
  HappensBefore(const std::vector<TaskPlace>& places,
                const std::vector<FiringEdge>& edges,
                const std::vector<int>& order,
                const std::vector<Ordering>& required = {});

  // Whether the edges, with `added`, imply it. Tasks of different devices:
  // false.
  bool Implies(const Ordering& ordering) const;

  // The required orderings that the edges did not imply: at most one per
  // (after, stream of before, steps).
  const std::vector<Ordering>& added() const { return added_; }

 private:
  // By stream of the task's device: position of the latest task there that
  // has finished when this one starts; less the stream's length if of the
  // step before. Earlier steps are kNever: nobody asks about them.
  using Clock = std::array<int, kMaxStreams>;
  static constexpr int kNever = -(1 << 30);

  int LaneSize(int device, int stream) const;
  // Takes note in `clock` that `task` has finished `steps` steps ago, where
  // `known` is its own clock at that time.
  void Join(int task, const Clock& known, int steps, Clock* clock) const;

  std::vector<TaskPlace> places_;
  std::vector<int> position_;            // By task, in its lane.
  std::vector<std::vector<int>> lanes_;  // By device * kMaxStreams + stream.
  std::vector<Clock> clocks_;            // By task.
  std::vector<Ordering> added_;
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_HAPPENS_BEFORE_H_
