#include "placement/tool/measured_times.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace facet::placement {

using Json = nlohmann::json;

absl::StatusOr<StepTimes> MeasuredTimes(const Plan& plan,
                                        const std::string& trace) {
  const Json json = Json::parse(trace, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("traceEvents") ||
      !json["traceEvents"].is_array()) {
    return absl::InvalidArgumentError(
        "is no trace: JSON with a list \"traceEvents\" was expected, as "
        "--trace_out writes it");
  }
  std::map<std::pair<int, std::string>, int> task_of;
  size_t step_tasks = 0;
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    if (task.once()) continue;
    ++step_tasks;
    task_of[{task.device(), task.name()}] = t;
  }
  // By step, by task.
  std::map<int64_t, std::map<int, TaskTime>> steps;
  for (const Json& event : json["traceEvents"]) {
    if (!event.is_object() || event.value("ph", Json()) != "X") continue;
    const Json args = event.value("args", Json::object());
    for (const Json& number :
         {event.value("pid", Json()), event.value("ts", Json()),
          event.value("dur", Json()),
          args.is_object() ? args.value("step", Json()) : Json()}) {
      if (!number.is_number()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "has an event without pid, ts, dur or step: ",
            event.dump(-1, ' ', false, Json::error_handler_t::replace)));
      }
    }
    const Json name = event.value("name", Json());
    const auto it =
        task_of.find({event["pid"].get<int>(),
                      name.is_string() ? name.get<std::string>() : ""});
    if (it == task_of.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "is of another plan: this one has no task ",
          name.dump(-1, ' ', false, Json::error_handler_t::replace),
          " on device ", event["pid"].get<int>()));
    }
    const double start = event["ts"].get<double>() * 1e-6;
    steps[args["step"].get<int64_t>()][it->second] = {
        start, start + event["dur"].get<double>() * 1e-6};
  }
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (step->second.size() != step_tasks) continue;
    double begin = std::numeric_limits<double>::infinity(), end = -begin;
    for (const auto& [task, time] : step->second) {
      if (plan.tasks(task).stream() == "data") continue;
      begin = std::min(begin, time.start);
      end = std::max(end, time.end);
    }
    StepTimes times;
    times.tasks.resize(plan.tasks_size());
    for (const auto& [task, time] : step->second) {
      times.tasks[task] = {time.start - begin, time.end - begin};
    }
    times.seconds = end - begin;
    return times;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("has no whole step: ", step_tasks,
                   " tasks of this plan were expected in "
                   "one of its ",
                   steps.size(), " steps"));
}

}  // namespace facet::placement
