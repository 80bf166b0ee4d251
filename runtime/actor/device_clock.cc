#include "runtime/actor/device_clock.h"

#include <chrono>
#include <cmath>

#include "ops/status_macros.h"

namespace facet::runtime {

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

absl::StatusOr<std::unique_ptr<DeviceClock>> DeviceClock::Create(
    Device* device, Stream* stream, size_t tasks, int64_t steps) {
  std::unique_ptr<DeviceClock> clock(new DeviceClock);
  clock->stream_ = stream;
  clock->steps_ = steps;
  clock->marks_.resize(tasks * steps);
  for (Marks& marks : clock->marks_) {
    ASSIGN_OR_RETURN(marks.begin, device->CreateEvent(/*timed=*/true));
    ASSIGN_OR_RETURN(marks.end, device->CreateEvent(/*timed=*/true));
  }
  ASSIGN_OR_RETURN(clock->base_, device->CreateEvent(/*timed=*/true));
  RETURN_IF_ERROR(stream->Record(*clock->base_));
  RETURN_IF_ERROR(stream->Synchronize());
  clock->base_ns_ = NowNs();
  return clock;
}

absl::Status DeviceClock::Begin(size_t task, int64_t step) {
  return stream_->Record(*MarksOf(task, step).begin);
}

absl::Status DeviceClock::End(size_t task, int64_t step) {
  return stream_->Record(*MarksOf(task, step).end);
}

absl::StatusOr<DeviceClock::Interval> DeviceClock::When(size_t task,
                                                        int64_t step) const {
  const Marks& marks = MarksOf(task, step);
  ASSIGN_OR_RETURN(const double start, marks.begin->SecondsSince(*base_));
  ASSIGN_OR_RETURN(const double end, marks.end->SecondsSince(*base_));
  return Interval{base_ns_ + std::llround(start * 1e9),
                  base_ns_ + std::llround(end * 1e9)};
}

}  // namespace facet::runtime
