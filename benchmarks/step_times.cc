#include "benchmarks/step_times.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "placement/plan/firing.h"

namespace facet::benchmarks {
namespace {

constexpr const char* kPhases[] = {"data",     "forward",       "backward",
                                   "head",     "communication", "waiting",
                                   "optimizer"};

// One collective of one step.
using CollectiveRun = std::tuple<int64_t, int, int>;  // Step, group, sequence.

CollectiveRun RunOf(const placement::Task& task, int64_t step) {
  return {step, task.collective().group(), task.collective().sequence()};
}

// When the last member of each collective came, and no member could go on
// before.
std::map<CollectiveRun, int64_t> LastArrivals(
    const placement::Plan& plan, const runtime::Timeline& timeline) {
  std::map<CollectiveRun, int64_t> arrivals;
  for (const auto& lane : timeline.lanes()) {
    for (const runtime::TimelineEvent& event : lane) {
      const placement::Task& task = plan.tasks(event.task);
      if (!task.has_collective()) continue;
      int64_t& last = arrivals[RunOf(task, event.step)];
      last = std::max(last, event.start_ns);
    }
  }
  return arrivals;
}

// When each task ended in each step; -1: it was not recorded.
class TaskEnds {
 public:
  TaskEnds(const placement::Plan& plan, const runtime::Timeline& timeline)
      : end_ns_(plan.tasks_size()) {
    for (const auto& lane : timeline.lanes()) {
      for (const runtime::TimelineEvent& event : lane) {
        // Those that were replayed with it are the next of its lane.
        const int lane_number = timeline.LaneOfTask(event.task);
        for (int task = event.task, left = event.tasks; left > 0; ++task) {
          if (timeline.LaneOfTask(task) != lane_number) continue;
          Set(task, event);
          --left;
        }
      }
    }
  }
  int64_t Of(int task, int64_t step) const {
    const std::vector<int64_t>& ends = end_ns_[task];
    return step >= 0 && step < static_cast<int64_t>(ends.size()) ? ends[step]
                                                                 : -1;
  }

 private:
  void Set(int task, const runtime::TimelineEvent& event) {
    std::vector<int64_t>& ends = end_ns_[task];
    if (static_cast<int64_t>(ends.size()) <= event.step) {
      ends.resize(event.step + 1, -1);
    }
    ends[event.step] = event.end_ns;
  }

  std::vector<std::vector<int64_t>> end_ns_;
};

// When each step ends: its last task that is not on the data stream, which
// works ahead. `start_ns`: of the first such task of all.
std::vector<int64_t> StepEnds(const placement::Plan& plan,
                              const runtime::Timeline& timeline,
                              int64_t* start_ns) {
  *start_ns = INT64_MAX;
  std::vector<int64_t> end_ns;
  for (const auto& lane : timeline.lanes()) {
    for (const runtime::TimelineEvent& event : lane) {
      if (plan.tasks(event.task).stream() == "data") continue;
      *start_ns = std::min(*start_ns, event.start_ns);
      if (static_cast<int64_t>(end_ns.size()) <= event.step) {
        end_ns.resize(event.step + 1, 0);
      }
      end_ns[event.step] = std::max(end_ns[event.step], event.end_ns);
    }
  }
  return end_ns;
}

}  // namespace

double RecordedDevices(const placement::Plan& plan,
                       const runtime::Timeline& timeline) {
  std::set<int> devices;
  for (const auto& lane : timeline.lanes()) {
    if (!lane.empty()) devices.insert(plan.tasks(lane[0].task).device());
  }
  return std::max<double>(1, static_cast<double>(devices.size()));
}

std::vector<double> StepSeconds(const placement::Plan& plan,
                                const runtime::Timeline& timeline) {
  int64_t start_ns = 0;
  std::vector<double> seconds;
  for (int64_t end : StepEnds(plan, timeline, &start_ns)) {
    seconds.push_back((end - start_ns) * 1e-9);
    start_ns = end;
  }
  return seconds;
}

std::string PhaseOf(const placement::Task& task) {
  if (task.has_collective()) return "communication";
  if (task.part() == "head") return "head";
  return task.phase();
}

std::vector<TaskTime> TaskTimes(const placement::Plan& plan,
                                const runtime::Timeline& timeline,
                                int64_t first, int64_t end) {
  const std::map<CollectiveRun, int64_t> arrivals =
      LastArrivals(plan, timeline);
  std::vector<TaskTime> times;
  for (const auto& lane : timeline.lanes()) {
    for (const runtime::TimelineEvent& event : lane) {
      if (event.step < first || event.step >= end) continue;
      const placement::Task& task = plan.tasks(event.task);
      int64_t start_ns = event.start_ns;
      if (task.has_collective()) {
        // Never beyond the end: the lanes' clocks are read one after another.
        start_ns = std::min(arrivals.at(RunOf(task, event.step)), event.end_ns);
      }
      times.push_back({event.task, event.tasks, event.step,
                       (event.end_ns - start_ns) * 1e-9,
                       (start_ns - event.start_ns) * 1e-9});
    }
  }
  return times;
}

double RuntimeSeconds(const placement::Plan& plan,
                      const runtime::Timeline& timeline, int64_t first,
                      int64_t end) {
  const std::vector<placement::FiringEdge> edges = placement::FiringEdges(plan);
  std::vector<std::vector<const placement::FiringEdge*>> into(
      plan.tasks_size());
  for (const placement::FiringEdge& edge : edges)
    into[edge.to].push_back(&edge);
  const TaskEnds ends(plan, timeline);
  int64_t overhead_ns = 0;
  for (const auto& lane : timeline.lanes()) {
    if (lane.empty() || plan.tasks(lane[0].task).stream() != "compute") {
      continue;
    }
    for (const runtime::TimelineEvent& event : lane) {
      if (event.step < first || event.step >= end) continue;
      // Edges of the stream are among them. A token that was there at the
      // start made nobody wait.
      int64_t ready_ns = -1;
      for (const placement::FiringEdge* edge : into[event.task]) {
        ready_ns =
            std::max(ready_ns, ends.Of(edge->from, event.step - edge->tokens));
      }
      if (ready_ns >= 0) {
        overhead_ns += std::max<int64_t>(0, event.start_ns - ready_ns);
      }
    }
  }
  return static_cast<double>(overhead_ns) * 1e-9 /
         (RecordedDevices(plan, timeline) * std::max<int64_t>(1, end - first));
}

std::vector<std::pair<std::string, double>> PhaseSeconds(
    const placement::Plan& plan, const runtime::Timeline& timeline,
    int64_t first, int64_t end) {
  std::vector<std::pair<std::string, double>> phases;
  for (const char* name : kPhases) phases.emplace_back(name, 0.0);
  auto add = [&](absl::string_view name, double seconds) {
    auto it = std::find_if(phases.begin(), phases.end(),
                           [&](const auto& p) { return p.first == name; });
    CHECK(it != phases.end()) << "phase " << name;
    it->second += seconds;
  };
  double replayed = 0;
  for (const TaskTime& time : TaskTimes(plan, timeline, first, end)) {
    if (time.tasks > 1) {
      replayed += time.seconds;
      continue;
    }
    add(PhaseOf(plan.tasks(time.task)), time.seconds);
    add("waiting", time.waited_seconds);
  }
  if (replayed > 0) phases.emplace_back("replayed", replayed);
  const double count =
      RecordedDevices(plan, timeline) * std::max<int64_t>(1, end - first);
  for (auto& [name, seconds] : phases) seconds /= count;
  return phases;
}

std::vector<double> MeanOfPeriods(const std::vector<double>& step_seconds,
                                  int64_t first, int64_t period) {
  std::vector<double> means;
  const auto end = static_cast<int64_t>(step_seconds.size());
  for (; first + period <= end; first += period) {
    const auto begin = step_seconds.begin() + first;
    means.push_back(std::accumulate(begin, begin + period, 0.0) /
                    static_cast<double>(period));
  }
  CHECK(!means.empty()) << end << " steps, " << period << " in a period";
  return means;
}

double Median(std::vector<double> values) {
  CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle]
                                : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace facet::benchmarks
