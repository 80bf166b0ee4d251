// Actors on the small plan: values over many steps; errors; stalls. More of
// lanes of asynchronous devices: tests/session.

#include "runtime/actor/lane.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/data_source.h"
#include "ops/fetch_sink.h"
#include "placement/plan/small_plan.h"
#include "runtime/actor/fake_device.h"
#include "runtime/collectives/shared_memory.h"
#include "runtime/device/cuda_device.h"

namespace facet::runtime {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

// Lanes of the small plan on two fake devices, and the world around them.
class Machine : public ops::DataSource, public ops::FetchSink {
 public:
  explicit Machine(const FailingCalls* failing = nullptr,
                   int64_t first_step = 0)
      : plan_(placement::SmallPlan()) {
    communicators_ = CreateSharedMemoryCommunicators(2);
    for (int d = 0; d < 2; ++d) {
      devices_.push_back(CreateFakeDevice(plan_.devices(d).name(), failing));
      arenas_.push_back(*devices_[d]->Allocate(plan_.devices(d).arena_bytes()));
    }
    shared_.plan = &plan_;
    shared_.first_step = first_step;
    shared_.edges = placement::FiringEdges(plan_);
    shared_.firing = std::make_unique<placement::FiringState>(
        shared_.edges, plan_.tasks_size());
    shared_.lane_of_task.resize(plan_.tasks_size());
    shared_.fail = [this](absl::Status status) { Fail(std::move(status)); };
    shared_.on_non_finite = [this](int task, int reg, int64_t step) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!non_finite_.empty()) return;
      non_finite_ = plan_.tasks(task).name() + " " +
                    plan_.registers(reg).name() + " " + std::to_string(step);
    };
    shared_.on_progress = [this] {
      std::lock_guard<std::mutex> lock(mutex_);
      changed_.notify_all();
    };
    std::map<std::pair<int, std::string>, std::vector<int>> tasks;
    for (int t = 0; t < plan_.tasks_size(); ++t) {
      tasks[{plan_.tasks(t).device(), plan_.tasks(t).stream()}].push_back(t);
    }
    for (const auto& [key, of_lane] : tasks) {
      const int device = key.first;
      auto prepare = [this, device](int task, Stream* stream) {
        return TaskRunner::Create(
            plan_, plan_.tasks(task), devices_[device].get(), stream,
            static_cast<char*>(arenas_[device]->data()),
            plan_.tasks(task).has_collective() ? communicators_[device].get()
                                               : nullptr,
            {0, this, this});
      };
      lanes_.push_back(std::make_unique<Lane>(&shared_, devices_[device].get(),
                                              ops::StreamKind::kCompute,
                                              of_lane, prepare));
      for (int task : of_lane) shared_.lane_of_task[task] = lanes_.back().get();
    }
    EXPECT_TRUE(
        CreateTaskEvents({devices_[0].get(), devices_[1].get()}, &shared_)
            .ok());
    for (const auto& lane : lanes_) lane->Start();
    EXPECT_TRUE(Wait(0).ok());
  }

  ~Machine() override {
    Fail(absl::CancelledError("the test ends"));
    for (const auto& lane : lanes_) lane->Join();
  }

  absl::Status Run(int64_t until) {
    for (const auto& lane : lanes_) lane->Advance(until);
    return Wait(until);
  }

  // What the lanes say they are doing, idle ones left out.
  std::string Describe() {
    std::string text;
    for (const auto& lane : lanes_) text += lane->Describe() + "\n";
    return text;
  }

  absl::Status Read(int64_t step, int64_t begin, int64_t end, float* images,
                    int32_t*) override {
    std::unique_lock<std::mutex> lock(mutex_);
    if (step == fail_at) return absl::DataLossError("no such image");
    while (step >= hold_from) changed_.wait(lock);
    std::fill(images + begin, images + end, static_cast<float>(step + 1));
    return absl::OkStatus();
  }

  absl::Status OnFetch(int64_t step, absl::string_view, int,
                       const ops::TensorView& value) override {
    std::lock_guard<std::mutex> lock(mutex_);
    reports_[step].push_back(value.as<float>()[15]);
    return absl::OkStatus();
  }

  void SetHold(int64_t from) {
    std::lock_guard<std::mutex> lock(mutex_);
    hold_from = from;
    changed_.notify_all();
  }

  std::map<int64_t, std::vector<float>> reports() {
    std::lock_guard<std::mutex> lock(mutex_);
    return reports_;
  }
  std::string non_finite() {
    std::lock_guard<std::mutex> lock(mutex_);
    return non_finite_;
  }

  // Before Run: guarded by mutex_ afterwards.
  int64_t fail_at = -1;
  int64_t hold_from = INT64_MAX;

 private:
  void Fail(absl::Status status) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (status_.ok()) status_ = status;
    }
    shared_.stop.store(true);
    for (const auto& communicator : communicators_) {
      communicator->Abort(status);
    }
    for (const auto& lane : lanes_) lane->Wake();
  }

  absl::Status Wait(int64_t steps) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] {
      return std::all_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) {
        return lane->stopped() || lane->steps_done() >= steps;
      });
    });
    return status_;
  }

  placement::Plan plan_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::vector<std::unique_ptr<Arena>> arenas_;
  std::vector<std::unique_ptr<Communicator>> communicators_;
  LaneShared shared_;
  std::mutex mutex_;
  std::condition_variable changed_;
  absl::Status status_;                            // Guarded by mutex_.
  std::string non_finite_;                         // Guarded by mutex_.
  std::map<int64_t, std::vector<float>> reports_;  // Guarded by mutex_.
  std::vector<std::unique_ptr<Lane>> lanes_;
};

// h = x + w and then w += 2 (x + w), with x = step + 1 on both devices: any
// task that runs too early, late or twice changes all that follow.
TEST(LaneTest, EveryTaskRunsOncePerStepAfterWhatItReads) {
  Machine machine;
  constexpr int64_t kSteps = 12;
  ASSERT_TRUE(machine.Run(5).ok());
  EXPECT_EQ(machine.reports().size(), 5u);  // No further than asked.
  ASSERT_TRUE(machine.Run(kSteps).ok());
  const auto reports = machine.reports();
  ASSERT_EQ(reports.size(), size_t{kSteps});
  double w = 0;
  for (int64_t step = 0; step < kSteps; ++step) {
    const double h = static_cast<double>(step + 1) + w;
    w += 2 * h;
    ASSERT_EQ(reports.at(step).size(), 2u);
    for (float value : reports.at(step)) {
      EXPECT_EQ(value, h) << "step " << step;
    }
  }
  EXPECT_EQ(machine.non_finite(), "");
}

TEST(LaneTest, AnErrorNamesDeviceTaskAndStepAndStopsAllLanes) {
  Machine machine;
  machine.fail_at = 2;
  const absl::Status status = machine.Run(10);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("cpu:"), HasSubstr("task x (source)"),
                    HasSubstr("step 2"), HasSubstr("no such image")));
  EXPECT_LE(machine.reports().size(), 2u);
}

// Of a training that goes on at step 1000; whatever call it is that fails.
TEST(LaneTest, ErrorsOfAsynchronousDevicesHaveAPlace) {
  auto fails = [](std::atomic<bool> FailingCalls::*call) {
    FailingCalls failing;
    Machine machine(&failing, /*first_step=*/1000);
    EXPECT_TRUE(machine.Run(2).ok());
    failing.*call = true;
    return std::string(machine.Run(4).message());
  };
  // Begins the third step by asking for the end of the first.
  EXPECT_THAT(
      fails(&FailingCalls::has_passed),
      MatchesRegex("cpu:[01], stream compute, step 1000: HasPassed: broken"));
  EXPECT_THAT(
      fails(&FailingCalls::wait),
      MatchesRegex("cpu:[01], task .+ \\(.+\\), step 1002: Wait: broken"));
  EXPECT_THAT(fails(&FailingCalls::record),
              MatchesRegex("cpu:[01], (task .+ \\(.+\\)|stream compute), step "
                           "1002: Record: broken"));
}

TEST(LaneTest, SaysWhoWaitsForWhat) {
  Machine machine;
  machine.hold_from = 1;
  std::thread run([&] { EXPECT_TRUE(machine.Run(3).ok()); });
  // Until step 0 is through and all wait for the images of step 1.
  while (machine.reports()[0].size() < 2) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::string text = machine.Describe();
  EXPECT_THAT(text, HasSubstr("running x for"));
  EXPECT_THAT(text, HasSubstr("y waits"));
  EXPECT_THAT(text, HasSubstr("register x from x"));
  EXPECT_THAT(text, HasSubstr("register z from z"));
  machine.SetHold(INT64_MAX);
  run.join();
  EXPECT_EQ(machine.reports().size(), 3u);
  EXPECT_THAT(machine.Describe(), testing::Not(HasSubstr("x")));
}

// w doubles and more in every step, so it leaves float32 in the end.
TEST(LaneTest, ReportsTheFirstValueThatIsNotFinite) {
  Machine machine;
  ASSERT_TRUE(machine.Run(100).ok());
  // g = 2 h is the first to overflow, in the collective.
  EXPECT_THAT(machine.non_finite(), testing::StartsWith("g g "));
}

// A stream is in order: who needs two tasks of it waits for the later one.
TEST(TaskEventsTest, TheLastOfSeveralTasksStandsForAll) {
  auto devices = CreateCudaDevices(1);
  if (!devices.ok()) GTEST_SKIP() << devices.status();
  Device* device = (*devices)[0].get();
  placement::Plan plan;
  plan.add_devices();
  for (int t = 0; t < 3; ++t) plan.add_tasks();
  LaneShared shared;
  shared.plan = &plan;
  // The third needs both of this step; the first needs the third of the one
  // before.
  shared.edges = {{0, 2, 0}, {1, 2, 0}, {2, 0, 1}};
  shared.firing = std::make_unique<placement::FiringState>(shared.edges, 3);
  Lane compute(&shared, device, ops::StreamKind::kCompute, {0, 1}, nullptr);
  Lane other(&shared, device, ops::StreamKind::kCommunication, {2}, nullptr);
  shared.lane_of_task = {&compute, &compute, &other};
  ASSERT_TRUE(CreateTaskEvents({device}, &shared).ok());
  EXPECT_THAT(shared.awaited, testing::ElementsAre(testing::ElementsAre(2),
                                                   testing::ElementsAre(),
                                                   testing::ElementsAre(1)));
  EXPECT_EQ(shared.task_events[0], nullptr);
  EXPECT_NE(shared.task_events[1], nullptr);
  EXPECT_NE(shared.task_events[2], nullptr);
}

}  // namespace
}  // namespace facet::runtime
