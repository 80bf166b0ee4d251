// Lane: the thread of one (device, stream) and the actors that live on it. The
// only place of the runtime that starts threads.
//
// An actor is a task with its tokens (placement/plan/firing.h). A lane runs
// its actors in the plan's order, each when its tokens have come, and sends
// tokens on: directly to actors of its own, through the mailbox to others.
//
// On an asynchronous device a token says that the work it stands for is in the
// sender's stream, with an event behind it; the receiver's stream waits for
// that event. So the thread runs ahead of the device: by kStepsAhead at most.
// There, runs of tasks that no other lane's work of the same step comes between
// may be recorded once and replayed as one (LaneShared::replay).
#ifndef FACET_RUNTIME_ACTOR_LANE_H_
#define FACET_RUNTIME_ACTOR_LANE_H_

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "placement/plan/firing.h"
#include "placement/plan/plan.pb.h"
#include "runtime/actor/device_clock.h"
#include "runtime/actor/error_place.h"
#include "runtime/actor/mailbox.h"
#include "runtime/actor/task_runner.h"
#include "runtime/device/device.h"
#include "runtime/trace/timeline.h"

namespace facet::runtime {

class Lane;

// What the lanes of a session share. Set up before the threads start.
struct LaneShared {
  const placement::Plan* plan = nullptr;
  std::vector<placement::FiringEdge> edges;
  // Every task's tokens are touched by the thread of its lane only.
  std::unique_ptr<placement::FiringState> firing;
  std::vector<Lane*> lane_of_task;
  // By task: recorded when its work is in the stream. Null for tasks that no
  // other lane's stream waits for, and on synchronous devices.
  std::vector<std::unique_ptr<Event>> task_events;
  // By task: those of other lanes whose events its stream waits for. Of several
  // of one lane that it needs from the same step, the last stands for all.
  std::vector<std::vector<int>> awaited;
  Timeline* timeline = nullptr;
  // Lanes of asynchronous devices: from step kFirstReplayed on.
  bool replay = false;
  int64_t first_step = 0;  // What users know step 0 as.
  // Called once by each lane that fails; stops the others.
  std::function<void(absl::Status)> fail;
  // Called when a task has written a value that is not finite to `reg`; may be
  // called often once it has happened.
  std::function<void(int task, int reg, int64_t step)> on_non_finite;
  // Called when a lane has reached what Advance asked for, or stops.
  std::function<void()> on_progress;
  std::atomic<bool> stop{false};
  // Tasks finished so far, for the watch over stalls.
  std::atomic<int64_t> finished{0};
};

// Makes LaneShared::task_events and awaited, from plan, edges and lane_of_task.
// `devices` by plan device id.
absl::Status CreateTaskEvents(const std::vector<Device*>& devices,
                              LaneShared* shared);

class Lane {
 public:
  // Makes the runner of a task.
  using Prepare =
      std::function<absl::StatusOr<TaskRunner>(int task, Stream* stream)>;

  // Steps that a lane of an asynchronous device begins before it waits for the
  // end of an earlier one: enough to keep the device busy, few enough that an
  // error is found soon.
  static constexpr int64_t kStepsAhead = 2;

  // Before it, libraries may still prepare something when they first run.
  static constexpr int64_t kFirstReplayed = 1;

  // `tasks`: of this lane, in plan order, `once` tasks among them. `prepare`
  // is called on the lane's thread, pinned and with its OpenMP team, since
  // kernels are made for a team.
  Lane(LaneShared* shared, Device* device, ops::StreamKind kind,
       std::vector<int> tasks, Prepare prepare);
  ~Lane();  // Its thread must not run: see Join.
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Starts the thread: it prepares, runs the `once` tasks and is idle.
  void Start();
  // Waits for the thread's end (LaneShared::stop must be set). All lanes must
  // be joined before any is destroyed: they post to each other.
  void Join();
  // Runs until `steps` steps are done since the start.
  void Advance(int64_t steps);
  // Steps done since the start; -1 until it is prepared and the `once` tasks
  // have run. On an asynchronous device those that are in its stream count,
  // except the last one that Advance asked for.
  int64_t steps_done() const {
    return steps_done_.load(std::memory_order_acquire);
  }
  // True when the thread has ended: the session stops.
  bool stopped() const { return stopped_.load(std::memory_order_acquire); }

  // A token has come on an edge into one of this lane's tasks. Any thread.
  void Deliver(int edge);
  void Wake() { mailbox_.Wake(); }

  // What the lane is doing, for the report of a stalled run: "cpu:0/compute:
  // conv1 waits 10.2 s for register images from image_source". Empty if it is
  // idle. Any thread; asks the lane's thread and waits up to a second.
  std::string Describe();

 private:
  void Main();
  absl::Status RunSteps();
  // An error of a task, or of the stream alone, with where and when it was;
  // before the first step: -1.
  absl::Status OfTask(const absl::Status& status, int position,
                      int64_t step) const;
  absl::Status OfStream(const absl::Status& status, int64_t step) const;
  ErrorStep KnownAs(int64_t step) const;
  absl::Status OpenStream();
  absl::Status StartClock();
  // Makes the tasks ready and runs those that are `once`.
  absl::Status PrepareTasks();
  absl::Status RunStep(int64_t step);
  absl::Status EndStep(int64_t step);
  Event& StepEvent(int64_t step) const {
    return *step_events_[(step + kStepsAhead) % kStepsAhead];
  }
  // Waits until the task may fire; false if the session stops.
  bool Await(int task);
  // Waits until the device has done `step` (-1: the `once` tasks), or the
  // session stops.
  absl::Status AwaitDevice(int64_t step);
  void Receive();
  template <typename Condition>
  bool AwaitUntil(int task, const Condition& condition);
  // The same for tasks [begin, end) that fire together: each when those before
  // it have.
  bool AwaitTogether(int begin, int end);
  // Fires them.
  absl::Status Fire(int begin, int end, int64_t step);
  // Their work, with the events that stand before and behind it. Errors name a
  // task.
  absl::Status RunTasks(int begin, int end, int64_t step);
  absl::Status BeginTasks(int begin, bool together, int64_t step);
  absl::Status EndTasks(int begin, int end, int64_t step);
  absl::Status RunTogether(int begin, int end, int64_t step);
  absl::Status Finish(int position, int64_t step);
  // Sets together_ and together_wait_.
  void FindTogether();
  // One past the last task that fires with this one, its first, in this step.
  int EndOfTogether(int position, int64_t step) const {
    return shared_->replay && step >= kFirstReplayed ? together_[position]
                                                     : position + 1;
  }
  bool IsTimed(int64_t step) const;
  // Into the timeline: a step that the device has done.
  absl::Status RecordStep(int64_t step);
  std::string MissingTokens(int task) const;

  LaneShared* shared_;
  Device* device_;
  ops::StreamKind kind_;
  std::vector<int> tasks_;
  Prepare prepare_;
  std::vector<TaskRunner> runners_;
  std::unique_ptr<Stream> stream_;
  // By the position of a first task: one past the last that is replayed with
  // it, and their work once it is recorded.
  std::vector<int> together_;
  std::vector<std::vector<const Event*>> together_wait_;  // For these.
  std::vector<std::unique_ptr<RecordedWork>> recorded_;
  // Recorded at the end of a step, in turns. The `once` tasks are step -1.
  std::array<std::unique_ptr<Event>, kStepsAhead> step_events_;
  std::unique_ptr<DeviceClock> clock_;  // Only with a timeline.
  int64_t first_unrecorded_step_ = 0;   // Of the timeline.
  Mailbox mailbox_;
  std::vector<int> received_;
  std::atomic<int64_t> target_{0};
  std::atomic<int64_t> steps_done_{-1};
  std::atomic<bool> stopped_{false};

  // For Describe.
  std::atomic<int> current_task_{-1};
  std::atomic<int64_t> current_since_ns_{0};
  std::atomic<bool> waiting_{false};
  std::atomic<bool> awaits_device_{false};
  std::mutex report_mutex_;
  std::condition_variable report_ready_;
  bool report_wanted_ = false;  // Guarded by report_mutex_, and the next.
  std::string report_;

  std::thread thread_;
};

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_ACTOR_LANE_H_
