// DeviceClock: when a lane's tasks ran on an asynchronous device. The host sees
// only when it put them into the stream; timed events tell the rest.
#ifndef FACET_RUNTIME_ACTOR_DEVICE_CLOCK_H_
#define FACET_RUNTIME_ACTOR_DEVICE_CLOCK_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/device/device.h"

namespace facet::runtime {

// Nanoseconds of the host's steady clock.
int64_t NowNs();

// Used by the stream's thread.
class DeviceClock {
 public:
  struct Interval {
    int64_t start_ns = 0;
    int64_t end_ns = 0;
  };

  // For `tasks` tasks, of which up to `steps` steps are under way at once.
  // Waits for what is in the stream.
  static absl::StatusOr<std::unique_ptr<DeviceClock>> Create(Device* device,
                                                             Stream* stream,
                                                             size_t tasks,
                                                             int64_t steps);

  // Before and after the task's work is put into the stream.
  absl::Status Begin(size_t task, int64_t step);
  absl::Status End(size_t task, int64_t step);

  // Of a step that the device has done, and not more than `steps` steps ago. By
  // the host's clock, to a few microseconds in the first minute; a float of
  // milliseconds (cudaEventElapsedTime) is less exact later.
  absl::StatusOr<Interval> When(size_t task, int64_t step) const;

 private:
  struct Marks {
    std::unique_ptr<Event> begin, end;
  };

  DeviceClock() = default;
  const Marks& MarksOf(size_t task, int64_t step) const {
    return marks_[task * steps_ + step % steps_];
  }

  Stream* stream_ = nullptr;
  int64_t steps_ = 0;
  std::vector<Marks> marks_;  // By task, by step.
  std::unique_ptr<Event> base_;
  int64_t base_ns_ = 0;  // When base_ passed.
};

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_ACTOR_DEVICE_CLOCK_H_
