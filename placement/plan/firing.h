// Firing: when a task may run. Pure code that the runtime's actors, the
// simulator and the verifier share.
//
// A plan is a marked graph (Commoner et al., 1971): tasks are transitions, and
// everything one task can wait for is an edge with tokens. A task fires when
// every edge into it has a token; it takes one from each, runs, and puts one
// on every edge out of it. Edges:
//   data       producer -> reader    0 tokens at the start
//   credit     reader -> producer    as many tokens as the register has slots
//   wait       predecessor -> task   Wait::steps tokens
//   stream     task -> next task of the same (device, stream), 0 tokens; the
//              last -> the first, 1 token
// All edges stay on one device; devices meet in collectives only.
#ifndef FACET_PLACEMENT_PLAN_FIRING_H_
#define FACET_PLACEMENT_PLAN_FIRING_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// In every how many steps the task works (Task.every); at least 1. It fires in
// all of them: the tokens go around as if it worked.
inline int Every(const Task& task) { return std::max(1, task.every()); }

// After how many steps the tasks that work are the same again, where each works
// in every step or in every N-th.
inline int Period(const Plan& plan) {
  int period = 1;
  for (const Task& task : plan.tasks()) period = std::max(period, Every(task));
  return period;
}

struct FiringEdge {
  enum class Kind : uint8_t { kData, kCredit, kWait, kStream };
  int from = 0;  // Task index in the plan.
  int to = 0;
  int tokens = 0;  // At the start.
  Kind kind = Kind::kData;
  int reg = -1;  // kData, kCredit: the register.
};

// The edges of the tasks that run every step, in a fixed order. A task pair
// may have several. `once` tasks have none: they run before, in plan order.
std::vector<FiringEdge> FiringEdges(const Plan& plan);

// Tokens of every task's incoming edges. One task's counts may be used by one
// thread at a time; the runtime gives each stream's tasks to its thread.
class FiringState {
 public:
  FiringState(const std::vector<FiringEdge>& edges, int num_tasks);

  bool CanFire(int task) const { return missing_[task] == 0; }
  // Takes a token from every edge into the task. Requires CanFire.
  void Begin(int task);
  // A token arrives on this edge (index into the edges).
  void Arrive(int edge);
  // Edges out of a task: the tokens to send when it has run.
  const std::vector<int>& out_edges(int task) const { return out_[task]; }
  const std::vector<int>& in_edges(int task) const { return in_[task]; }
  int tokens(int edge) const { return tokens_[edge]; }

 private:
  std::vector<int> to_;       // By edge.
  std::vector<int> tokens_;   // By edge.
  std::vector<int> missing_;  // By task: incoming edges without a token.
  std::vector<std::vector<int>> in_;
  std::vector<std::vector<int>> out_;
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_FIRING_H_
