// Timeline: when each task ran, for the report's phases and for Perfetto /
// chrome://tracing. Runtime and simulator write the same events.
#ifndef FACET_RUNTIME_TRACE_TIMELINE_H_
#define FACET_RUNTIME_TRACE_TIMELINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "placement/plan/plan.pb.h"

namespace facet::runtime {

// Nanoseconds of a monotonic clock.
struct TimelineEvent {
  int32_t task = 0;  // Index in the plan.
  int64_t step = 0;
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  // More than one: so many of the lane, of which `task` is the first, were
  // replayed as one piece of work.
  int32_t tasks = 1;
};

// Lanes are written each by its own thread, without locks and without
// allocating: events of later steps than there is room for are dropped and
// counted.
class Timeline {
 public:
  // Room for steps 0 to steps - 1. Lane: one (device, stream) of the plan, in
  // order of first appearance among its tasks.
  Timeline(const placement::Plan& plan, int64_t steps);

  int64_t steps() const { return steps_; }
  int LaneOfTask(int task) const { return lane_of_task_[task]; }
  void Record(const TimelineEvent& event);  // By the lane's thread.

  // After the run. In order of recording within each lane.
  const std::vector<std::vector<TimelineEvent>>& lanes() const {
    return lanes_;
  }
  int64_t dropped() const;
  void Clear();

  // Trace Event JSON
  // (docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU):
  // a process per device, a thread per stream. Written to a temporary file
  // and renamed.
  absl::Status WriteTrace(const placement::Plan& plan,
                          const std::string& path) const;

 private:
  std::vector<int> lane_of_task_;
  std::vector<std::string> lane_names_;
  std::vector<std::vector<TimelineEvent>> lanes_;
  std::vector<int64_t> dropped_;
  int64_t steps_;
};

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_TRACE_TIMELINE_H_
