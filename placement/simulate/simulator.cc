#include "placement/simulate/simulator.h"

#include <algorithm>
#include <deque>
#include <map>
#include <tuple>

#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "ops/graph/every.h"
#include "placement/plan/firing.h"
#include "placement/plan/stated_devices.h"

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

// Fires units as their tokens arrive and notes the times.
class Run {
 public:
  // Whether what works in every so-manieth step does so in this one.
  using Works = bool (*)(int64_t every, int64_t step);

  Run(const Plan& plan, int64_t steps, Works works)
      : plan_(plan),
        steps_(steps),
        works_(works),
        edges_(FiringEdges(plan)),
        state_(edges_, plan.tasks_size()),
        units_(FindUnits(plan)),
        fired_(units_.members.size(), 0),
        // By step, task.
        times_(steps, std::vector<Firing>(plan.tasks_size())) {}

  void ToEnd() {
    for (size_t u = 0; u < fired_.size(); ++u) TryLater(static_cast<int>(u));
    int64_t firings = 0;
    while (!candidates_.empty()) {
      const int unit = candidates_.front();
      candidates_.pop_front();
      if (!CanFire(unit)) continue;
      Fire(unit);
      ++firings;
    }
    CHECK_EQ(firings, steps_ * static_cast<int64_t>(fired_.size()))
        << "the plan has a deadlock";
  }

  const Firing& at(int64_t step, int task) const { return times_[step][task]; }

 private:
  void TryLater(int unit) {
    if (CanFire(unit)) candidates_.push_back(unit);
  }

  bool CanFire(int unit) const {
    if (fired_[unit] == steps_) return false;
    for (int t : units_.members[unit]) {
      if (!state_.CanFire(t)) return false;
    }
    return true;
  }

  // When the last of the tokens that the task takes arrived.
  double ReadySeconds(int task, int64_t step) const {
    double ready = 0;
    for (int e : state_.in_edges(task)) {
      const int64_t then = step - edges_[e].tokens;
      if (then >= 0) ready = std::max(ready, times_[then][edges_[e].from].end);
    }
    return ready;
  }

  void Fire(int unit) {
    const int64_t step = fired_[unit]++;
    double start = 0;
    for (int t : units_.members[unit]) {
      state_.Begin(t);
      const double ready = ReadySeconds(t, step);
      times_[step][t].ready = ready;
      start = std::max(start, ready);
    }
    for (int t : units_.members[unit]) {
      Firing& firing = times_[step][t];
      firing.task = t;
      firing.step = step;
      firing.start = start;
      firing.end = start;
      if (works_(Every(plan_.tasks(t)), step)) {
        firing.end += plan_.tasks(t).predicted_seconds();
      }
    }
    for (int t : units_.members[unit]) {
      for (int e : state_.out_edges(t)) {
        state_.Arrive(e);
        TryLater(units_.of_task[edges_[e].to]);
      }
    }
  }

  const Plan& plan_;
  const int64_t steps_;
  const Works works_;
  const std::vector<FiringEdge> edges_;
  FiringState state_;
  const Units units_;
  std::vector<int64_t> fired_;  // By unit.
  std::vector<std::vector<Firing>> times_;
  std::deque<int> candidates_;  // May hold a unit twice: CanFire decides.
};

constexpr const char* kPhases[] = {"data",     "forward",       "backward",
                                   "head",     "communication", "waiting",
                                   "optimizer"};

absl::string_view PhaseOf(const Task& task) {
  if (task.has_collective()) return "communication";
  if (task.part() == "head") return "head";
  return task.phase();
}

// Steps in the steady state, however many make a round. Nothing changes any
// more from step to step in step 3; in step 4 everything works, and step 5 may
// still feel it.
constexpr int64_t kQuietStep = 3;
constexpr int64_t kFullStep = 4;
constexpr int64_t kSteadySteps = 6;

bool WorksInFullStep(int64_t every, int64_t step) {
  return every <= 1 || step == kFullStep;
}

// Per step of a round of which all but one are as the quiet one.
double MeanOfRound(int64_t period, double quiet, double full_and_next) {
  return quiet + (full_and_next - 2 * quiet) / static_cast<double>(period);
}

}  // namespace

Simulation Simulate(const Plan& plan, int64_t steps) {
  CHECK_GT(steps, 0);
  Run run(plan, steps, ops::EndsRound);
  run.ToEnd();
  Simulation result;
  result.step_ends.assign(steps, 0);
  for (int64_t s = 0; s < steps; ++s) {
    for (int t = 0; t < plan.tasks_size(); ++t) {
      if (plan.tasks(t).once()) continue;
      const Firing& firing = run.at(s, t);
      result.firings.push_back(firing);
      if (plan.tasks(t).stream() == "data") continue;
      result.step_ends[s] = std::max(result.step_ends[s], firing.end);
    }
  }
  std::sort(result.firings.begin(), result.firings.end(),
            [](const Firing& a, const Firing& b) {
              return std::tie(a.start, a.end, a.step, a.task) <
                     std::tie(b.start, b.end, b.step, b.task);
            });
  return result;
}

StepTimes SimulateSteadyStep(const Plan& plan) {
  Run run(plan, kSteadySteps, WorksInFullStep);
  run.ToEnd();
  auto end_of = [&](int64_t step) {
    double end = 0;
    for (int t = 0; t < plan.tasks_size(); ++t) {
      if (!plan.tasks(t).once()) end = std::max(end, run.at(step, t).end);
    }
    return end;
  };
  StepTimes result;
  const double start = end_of(kFullStep - 1);
  result.seconds =
      MeanOfRound(Period(plan), end_of(kQuietStep) - end_of(kQuietStep - 1),
                  end_of(kFullStep + 1) - start);
  result.tasks.resize(plan.tasks_size());
  for (int t = 0; t < plan.tasks_size(); ++t) {
    if (plan.tasks(t).once()) continue;
    const Firing& firing = run.at(kFullStep, t);
    result.tasks[t] = {firing.start - start, firing.end - start};
  }
  return result;
}

std::vector<std::pair<std::string, double>> SimulatedPhases(const Plan& plan) {
  Run run(plan, kSteadySteps, WorksInFullStep);
  run.ToEnd();
  std::vector<std::pair<std::string, double>> phases;
  for (const char* name : kPhases) phases.emplace_back(name, 0.0);
  const std::vector<int> counts = CountLike(plan);
  const int64_t period = Period(plan);
  auto add = [&](absl::string_view name, int device, const auto& seconds_in) {
    const double seconds =
        MeanOfRound(period, seconds_in(kQuietStep),
                    seconds_in(kFullStep) + seconds_in(kFullStep + 1));
    for (auto& [phase, sum] : phases) {
      if (phase == name) {
        sum += seconds * counts[device] / std::max(1, plan.devices_size());
      }
    }
  };
  for (int t = 0; t < plan.tasks_size(); ++t) {
    if (plan.tasks(t).once()) continue;
    const int device = plan.tasks(t).device();
    add("waiting", device, [&](int64_t step) {
      return run.at(step, t).start - run.at(step, t).ready;
    });
    add(PhaseOf(plan.tasks(t)), device, [&](int64_t step) {
      return run.at(step, t).end - run.at(step, t).start;
    });
  }
  return phases;
}

}  // namespace facet::placement
