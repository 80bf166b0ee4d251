#include "benchmarks/step_times.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/strings/string_view.h"
#include "glog/logging.h"

namespace facet::benchmarks {
namespace {

constexpr const char* kPhases[] = {"data",      "forward",       "backward",
                                   "head",      "communication", "waiting",
                                   "optimizer", "runtime"};

std::string PhaseOf(const placement::Task& task) {
  if (task.has_collective()) return "communication";
  if (task.part() == "head") return "head";
  return task.phase();
}

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

// Seconds of [begin_ns, end_ns) in which no lane of a device runs anything,
// summed over the devices.
double IdleSeconds(const placement::Plan& plan,
                   const runtime::Timeline& timeline, int64_t begin_ns,
                   int64_t end_ns) {
  std::vector<std::vector<std::pair<int64_t, int64_t>>> busy(
      plan.devices_size());
  for (const auto& lane : timeline.lanes()) {
    for (const runtime::TimelineEvent& event : lane) {
      busy[plan.tasks(event.task).device()].emplace_back(event.start_ns,
                                                         event.end_ns);
    }
  }
  int64_t idle_ns = 0;
  for (auto& intervals : busy) {
    std::sort(intervals.begin(), intervals.end());
    int64_t until = begin_ns;
    for (const auto& [start, end] : intervals) {
      idle_ns += std::max<int64_t>(0, std::min(start, end_ns) - until);
      until = std::max(until, std::min(end, end_ns));
    }
    idle_ns += end_ns - until;
  }
  return static_cast<double>(idle_ns) * 1e-9;
}

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
  const std::map<CollectiveRun, int64_t> arrivals =
      LastArrivals(plan, timeline);
  for (const auto& lane : timeline.lanes()) {
    for (const runtime::TimelineEvent& event : lane) {
      if (event.step < first || event.step >= end) continue;
      const placement::Task& task = plan.tasks(event.task);
      int64_t start_ns = event.start_ns;
      if (task.has_collective()) {
        // Never beyond the end: the lanes' clocks are read one after another.
        start_ns = std::min(arrivals.at(RunOf(task, event.step)), event.end_ns);
        add("waiting", (start_ns - event.start_ns) * 1e-9);
      }
      add(PhaseOf(task), (event.end_ns - start_ns) * 1e-9);
    }
  }
  int64_t begin_ns = 0;
  const std::vector<int64_t> ends = StepEnds(plan, timeline, &begin_ns);
  if (first < end && end <= static_cast<int64_t>(ends.size())) {
    if (first > 0) begin_ns = ends[first - 1];
    add("runtime", IdleSeconds(plan, timeline, begin_ns, ends[end - 1]));
  }
  const double count = static_cast<double>(plan.devices_size()) *
                       std::max<int64_t>(1, end - first);
  for (auto& [name, seconds] : phases) seconds /= count;
  return phases;
}

double Median(std::vector<double> values) {
  CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle]
                                : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace facet::benchmarks
