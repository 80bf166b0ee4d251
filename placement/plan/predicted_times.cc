#include "placement/plan/predicted_times.h"

#include <algorithm>
#include <map>
#include <utility>

#include "glog/logging.h"
#include "placement/plan/firing.h"

namespace facet::placement {
namespace {

// Tasks that start together: the members of a collective, or one task.
struct Units {
  std::vector<std::vector<int>> members;  // By unit.
  std::vector<int> of_task;               // -1: runs once.
};

Units FindUnits(const Plan& plan) {
  Units units;
  units.of_task.assign(plan.tasks_size(), -1);
  std::map<std::pair<int, int>, int> collectives;
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    if (task.once()) continue;
    int unit = static_cast<int>(units.members.size());
    if (task.has_collective()) {
      const Collective& c = task.collective();
      unit = collectives.emplace(std::make_pair(c.group(), c.sequence()), unit)
                 .first->second;
    }
    if (unit == static_cast<int>(units.members.size())) {
      units.members.emplace_back();
    }
    units.members[unit].push_back(t);
    units.of_task[t] = unit;
  }
  return units;
}

// An order of the units in which all that a step waits for in itself is past.
std::vector<int> Order(const Units& units,
                       const std::vector<FiringEdge>& edges) {
  std::vector<int> missing(units.members.size(), 0);
  std::vector<std::vector<int>> next(units.members.size());
  for (const FiringEdge& edge : edges) {
    if (edge.tokens > 0) continue;
    next[units.of_task[edge.from]].push_back(units.of_task[edge.to]);
    ++missing[units.of_task[edge.to]];
  }
  std::vector<int> order;
  for (size_t u = 0; u < missing.size(); ++u) {
    if (missing[u] == 0) order.push_back(static_cast<int>(u));
  }
  for (size_t i = 0; i < order.size(); ++i) {
    for (int n : next[order[i]]) {
      if (--missing[n] == 0) order.push_back(n);
    }
  }
  CHECK_EQ(order.size(), units.members.size()) << "the plan has a deadlock";
  return order;
}

}  // namespace

StepTimes PredictedTimes(const Plan& plan) {
  constexpr int kSteps = 4;  // By the last one nothing changes any more.
  const std::vector<FiringEdge> edges = FiringEdges(plan);
  std::vector<std::vector<int>> incoming(plan.tasks_size());
  for (size_t e = 0; e < edges.size(); ++e) {
    incoming[edges[e].to].push_back(static_cast<int>(e));
  }
  const Units units = FindUnits(plan);
  const std::vector<int> order = Order(units, edges);
  std::vector<std::vector<TaskTime>> times(
      kSteps, std::vector<TaskTime>(plan.tasks_size()));
  std::vector<double> last(kSteps, 0);
  for (int step = 0; step < kSteps; ++step) {
    for (int u : order) {
      double start = 0;
      for (int t : units.members[u]) {
        for (int e : incoming[t]) {
          const int then = step - edges[e].tokens;
          if (then >= 0) {
            start = std::max(start, times[then][edges[e].from].end);
          }
        }
      }
      for (int t : units.members[u]) {
        const double end = start + plan.tasks(t).predicted_seconds();
        times[step][t] = {start, end};
        last[step] = std::max(last[step], end);
      }
    }
  }
  StepTimes result;
  result.tasks = std::move(times[kSteps - 1]);
  result.seconds = last[kSteps - 1] - last[kSteps - 2];
  for (int t = 0; t < plan.tasks_size(); ++t) {
    if (plan.tasks(t).once()) continue;
    result.tasks[t].start -= last[kSteps - 2];
    result.tasks[t].end -= last[kSteps - 2];
  }
  return result;
}

}  // namespace facet::placement
