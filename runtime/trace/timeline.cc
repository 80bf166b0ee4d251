#include "runtime/trace/timeline.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "ops/status_macros.h"
#include "placement/plan/write_file.h"

namespace facet::runtime {
namespace {

std::string JsonString(const std::string& text) {
  return absl::StrCat(
      "\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

std::string NameOf(const placement::Task& task, const TimelineEvent& event) {
  if (event.tasks == 1) return task.name();
  return absl::StrCat(task.name(), " and ", event.tasks - 1, " more, replayed");
}

}  // namespace

Timeline::Timeline(const placement::Plan& plan, int64_t steps) : steps_(steps) {
  std::map<std::pair<int, std::string>, int> lane_ids;
  std::vector<int64_t> tasks_in_lane;
  for (const placement::Task& task : plan.tasks()) {
    auto [it, is_new] =
        lane_ids.emplace(std::make_pair(task.device(), task.stream()),
                         static_cast<int>(lane_names_.size()));
    if (is_new) {
      lane_names_.push_back(task.stream());
      tasks_in_lane.push_back(0);
    }
    ++tasks_in_lane[it->second];
    lane_of_task_.push_back(it->second);
  }
  lanes_.resize(lane_names_.size());
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    lanes_[lane].reserve(tasks_in_lane[lane] * steps);
  }
  dropped_.resize(lanes_.size(), 0);
}

void Timeline::Record(const TimelineEvent& event) {
  const int lane = lane_of_task_[event.task];
  if (event.step >= steps_) {
    ++dropped_[lane];
    return;
  }
  lanes_[lane].push_back(event);
}

int64_t Timeline::dropped() const {
  int64_t total = 0;
  for (int64_t count : dropped_) total += count;
  return total;
}

void Timeline::Clear() {
  for (std::vector<TimelineEvent>& lane : lanes_) lane.clear();
  std::fill(dropped_.begin(), dropped_.end(), 0);
}

absl::Status Timeline::WriteTrace(const placement::Plan& plan,
                                  const std::string& path) const {
  int64_t origin_ns = INT64_MAX;
  for (const std::vector<TimelineEvent>& lane : lanes_) {
    for (const TimelineEvent& event : lane) {
      origin_ns = std::min(origin_ns, event.start_ns);
    }
  }
  std::string json = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  for (int d = 0; d < plan.devices_size(); ++d) {
    absl::StrAppendFormat(&json,
                          "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,"
                          "\"args\":{\"name\":%s}},\n",
                          d, JsonString(plan.devices(d).name()));
  }
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    const auto task = std::find(lane_of_task_.begin(), lane_of_task_.end(),
                                static_cast<int>(lane)) -
                      lane_of_task_.begin();
    absl::StrAppendFormat(
        &json,
        "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%d,\"tid\":%d,"
        "\"args\":{\"name\":%s}},\n",
        plan.tasks(task).device(), lane, JsonString(lane_names_[lane]));
    for (const TimelineEvent& event : lanes_[lane]) {
      const placement::Task& t = plan.tasks(event.task);
      absl::StrAppendFormat(
          &json,
          "{\"ph\":\"X\",\"name\":%s,\"cat\":%s,\"pid\":%d,\"tid\":%d,"
          "\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"step\":%d,\"op\":%s,"
          "\"layer\":%s,\"predicted_us\":%.3f}},\n",
          JsonString(NameOf(t, event)), JsonString(t.phase()), t.device(), lane,
          (event.start_ns - origin_ns) * 1e-3,
          (event.end_ns - event.start_ns) * 1e-3, event.step,
          JsonString(t.has_collective() ? t.collective().transition() : t.op()),
          JsonString(t.layer()), t.predicted_seconds() * 1e6);
    }
  }
  // JSON knows no trailing comma.
  json.resize(json.size() - 2);
  absl::StrAppend(&json, "\n]}\n");
  return placement::WriteFileAtomically(path, json);
}

}  // namespace facet::runtime
