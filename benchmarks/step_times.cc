#include "benchmarks/step_times.h"

#include <algorithm>

#include "glog/logging.h"

namespace facet::benchmarks {
namespace {

constexpr const char* kPhases[] = {"data", "forward",       "backward",
                                   "head", "communication", "optimizer"};

std::string PhaseOf(const placement::Task& task) {
  if (task.has_collective()) return "communication";
  if (task.part() == "head") return "head";
  return task.phase();
}

}  // namespace

std::vector<double> StepSeconds(const placement::Plan& plan,
                                const runtime::Timeline& timeline) {
  int64_t start_ns = INT64_MAX;
  std::vector<int64_t> end_ns;
  for (const auto& lane : timeline.lanes()) {
    for (const runtime::TimelineEvent& event : lane) {
      if (plan.tasks(event.task).stream() == "data") continue;
      start_ns = std::min(start_ns, event.start_ns);
      if (static_cast<int64_t>(end_ns.size()) <= event.step) {
        end_ns.resize(event.step + 1, 0);
      }
      end_ns[event.step] = std::max(end_ns[event.step], event.end_ns);
    }
  }
  std::vector<double> seconds;
  for (int64_t end : end_ns) {
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
  for (const auto& lane : timeline.lanes()) {
    for (const runtime::TimelineEvent& event : lane) {
      if (event.step < first || event.step >= end) continue;
      const std::string name = PhaseOf(plan.tasks(event.task));
      auto it = std::find_if(phases.begin(), phases.end(),
                             [&](const auto& p) { return p.first == name; });
      CHECK(it != phases.end()) << "phase " << name;
      it->second += (event.end_ns - event.start_ns) * 1e-9;
    }
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
