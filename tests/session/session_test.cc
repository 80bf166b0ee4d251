// Sessions: what runs ahead, what stops them, what they allocate, what can be
// read from them. On CPU devices and on CUDA ones, emulated where there is
// none.

#include "runtime/session.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/cuda_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "placement/compile.h"
#include "runtime/device/cpu_device.h"
#include "runtime/device/cuda_device.h"
#include "tests/session/small_session.h"

namespace {
// Allocations of all threads, while counting is on.
std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0};
}  // namespace

void* operator new(size_t size) {
  if (counting.load(std::memory_order_relaxed)) ++allocations;
  void* data = std::malloc(size);
  if (data == nullptr) std::abort();
  return data;
}
// All forms that do not forward to another: one that is left out would be
// neither counted nor a match for the delete below.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return operator new(size);
}
void* operator new(size_t size, std::align_val_t alignment) {
  if (counting.load(std::memory_order_relaxed)) ++allocations;
  const auto unit = static_cast<size_t>(alignment);
  void* data = std::aligned_alloc(unit, (size + unit - 1) / unit * unit);
  if (data == nullptr) std::abort();
  return data;
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, size_t, std::align_val_t) noexcept {
  std::free(data);
}

namespace facet::runtime {
namespace {

using testing::HasSubstr;

struct Running {
  std::vector<std::unique_ptr<Device>> devices;
  std::unique_ptr<Session> session;
};

// Nothing here takes long.
SessionOptions Impatient() {
  SessionOptions options;
  options.stall_timeout = absl::Minutes(1);
  return options;
}

absl::StatusOr<Running> Start(const placement::Plan& plan, World* world,
                              SessionOptions options = Impatient()) {
  Running running;
  const int count = plan.devices_size();
  auto created = plan.devices(0).kind() == "cpu" ? CreateCpuDevices(count)
                                                 : CreateCudaDevices(count);
  if (!created.ok()) return created.status();
  running.devices = *std::move(created);
  std::vector<Device*> devices;
  for (const auto& device : running.devices) devices.push_back(device.get());
  options.data_source = world;
  options.fetch_sink = world;
  auto session = Session::Create(plan, devices, options);
  if (!session.ok()) return session.status();
  running.session = *std::move(session);
  return running;
}

class SessionTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (kind() != "cuda") return;
    const auto devices = CudaDevices();
    ASSERT_TRUE(devices.ok()) << devices.status();
    if (devices->size() < 3) {
      GTEST_SKIP() << "needs 3 CUDA devices, here are " << devices->size();
    }
  }
  std::string kind() const { return GetParam(); }
  const ops::KernelLibrary* cuda() const {
    return kind() == "cuda" ? &ops::CudaKernels() : nullptr;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, SessionTest, testing::Values("cpu", "cuda"),
                         [](const testing::TestParamInfo<std::string>& info) {
                           return info.param;
                         });

TEST_P(SessionTest, TheSameValueOnAnyNumberOfDevices) {
  float expected = 0;
  for (int devices : {1, 2, 3}) {
    World world;
    auto running = Start(SmallPlan(devices, false, cuda()), &world);
    ASSERT_TRUE(running.ok()) << running.status();
    ASSERT_TRUE(running->session->Run(3).ok());
    EXPECT_EQ(running->session->steps_done(), 3);
    EXPECT_EQ(world.last_fetched, 2);
    if (devices == 1) expected = world.last_value;
    EXPECT_NEAR(world.last_value, expected, 1e-4 * expected);
  }
}

TEST_P(SessionTest, VariablesAreReadAndWrittenWhole) {
  HostTensor initial;
  for (bool split : {false, true}) {
    World world;
    auto running = Start(SmallPlan(3, split, cuda()), &world);
    ASSERT_TRUE(running.ok()) << running.status();
    Session& session = *running->session;
    auto weight = session.ReadVariable("weight");
    ASSERT_TRUE(weight.ok()) << weight.status();
    EXPECT_EQ(weight->shape, (ops::Shape{5, kPixels}));
    // The same initial values however it lies.
    if (!split) initial = *weight;
    EXPECT_EQ(weight->data, initial.data);
    for (int64_t i = 0; i < 5 * kPixels; ++i) {
      weight->as<float>()[i] = static_cast<float>(i % 1000);
    }
    ASSERT_TRUE(session.WriteVariable("weight", *weight).ok());
    EXPECT_EQ(session.ReadVariable("weight")->data, weight->data);
    EXPECT_THAT(session.ReadVariable("wait").status().message(),
                HasSubstr("weight"));
    HostTensor wrong = *weight;
    wrong.shape = {kPixels, 5};
    EXPECT_THAT(session.WriteVariable("weight", wrong).message(),
                HasSubstr("[5, 37632]"));
    wrong = *weight;
    wrong.data.resize(100);
    EXPECT_THAT(session.WriteVariable("weight", wrong).message(),
                HasSubstr("the value has 100"));
    wrong = *weight;
    wrong.dtype = ops::DataType::kInt32;
    EXPECT_THAT(session.WriteVariable("weight", wrong).message(),
                HasSubstr("int32"));
    EXPECT_EQ(session.ReadVariable("weight")->data, weight->data);
    EXPECT_THAT(session.VariableNames(), testing::ElementsAre("weight"));
    // The next step computes with what was written, all of which has arrived.
    ASSERT_TRUE(session.WriteVariable("weight", *weight).ok());
    const absl::Status status = session.Run(1);
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST_P(SessionTest, DataIsReadAheadButNoFurtherThanTheCredits) {
  World world;
  world.wait_for_read_of = 3;
  auto running = Start(SmallPlan(1, false, cuda()), &world);
  ASSERT_TRUE(running.ok()) << running.status();
  ASSERT_TRUE(running->session->Run(12).ok());
  EXPECT_TRUE(world.saw_work_ahead);
  // Two slots, one of which may be in use, and one read that has begun.
  EXPECT_LE(world.most_ahead, 4);
  // Not beyond the call.
  EXPECT_EQ(world.last_read, 11);
}

TEST_P(SessionTest, TheFirstErrorStopsAllAndStays) {
  for (int devices : {1, 3}) {
    World world;
    world.fail_read_at = 4;
    auto running = Start(SmallPlan(devices, false, cuda()), &world);
    ASSERT_TRUE(running.ok()) << running.status();
    const absl::Status status = running->session->Run(10);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(status.message(), HasSubstr("the disk broke"));
    EXPECT_THAT(status.message(), HasSubstr("images"));
    EXPECT_THAT(status.message(), HasSubstr("step 4"));
    EXPECT_EQ(running->session->Run(1), status);
  }
  World world;
  world.fail_fetch_at = 2;
  auto running = Start(SmallPlan(2, false, cuda()), &world);
  ASSERT_TRUE(running.ok());
  const absl::Status status = running->session->Run(5);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(status.message(), HasSubstr("step 2"));
  EXPECT_EQ(running->session->Run(0), status);
}

// The devices that have their images wait for the others in a collective.
TEST_P(SessionTest, AnErrorOnOneDeviceFreesTheOthersAtOnce) {
  World world;
  world.fail_read_at = 3;
  world.fail_from_image = 4;  // Images 4 and 5: the last device.
  auto running = Start(SmallPlan(3, false, cuda()), &world);
  ASSERT_TRUE(running.ok()) << running.status();
  const auto start = std::chrono::steady_clock::now();
  const absl::Status status = running->session->Run(100);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(status.message(), HasSubstr(kind() + ":2"));
  running->session.reset();
  // Long before the minute after which a run counts as stalled.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST_P(SessionTest, TheTimelineHasEveryTaskOfItsSteps) {
  World world;
  const placement::Plan plan = SmallPlan(2, true, cuda());
  constexpr int64_t kRecorded = 3, kSteps = 7;
  Timeline timeline(plan, kRecorded);
  const auto begin = std::chrono::steady_clock::now();
  SessionOptions options = Impatient();
  options.timeline = &timeline;
  auto running = Start(plan, &world, options);
  ASSERT_TRUE(running.ok()) << running.status();
  ASSERT_TRUE(running->session->Run(4).ok());
  ASSERT_TRUE(running->session->Run(kSteps - 4).ok());
  const int64_t most =
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin)
          .count();
  std::map<std::pair<int, int64_t>, int> times;  // By task and step.
  int64_t first = INT64_MAX, last = 0;
  for (const auto& lane : timeline.lanes()) {
    int64_t end = 0;
    for (const TimelineEvent& event : lane) {
      ++times[{event.task, event.step}];
      EXPECT_LE(end, event.start_ns + 5000);  // A GPU's clock is that exact.
      EXPECT_LE(event.start_ns, event.end_ns);
      end = event.end_ns;
      first = std::min(first, event.start_ns);
      last = std::max(last, event.end_ns);
    }
  }
  EXPECT_LT(first, last);
  // By the host's clock.
  EXPECT_GE(first, std::chrono::nanoseconds(begin.time_since_epoch()).count());
  EXPECT_LE(last - first, most);
  for (int t = 0; t < plan.tasks_size(); ++t) {
    for (int64_t step = 0; step < kRecorded; ++step) {
      EXPECT_EQ((times[{t, step}]), plan.tasks(t).once() ? 0 : 1)
          << plan.tasks(t).name() << " in step " << step;
    }
  }
}

// The images are in another slot in each step: what reads them is not replayed.
TEST_P(SessionTest, WhatIsTheSameInEveryStepIsReplayed) {
  const placement::Plan plan = SmallPlan(1, false, cuda());
  constexpr int64_t kSteps = 4;
  std::vector<float> values;
  for (bool replay : {false, true}) {
    World world;
    Timeline timeline(plan, kSteps);
    SessionOptions options = Impatient();
    options.timeline = &timeline;
    options.replay = replay;
    auto running = Start(plan, &world, options);
    ASSERT_TRUE(running.ok()) << running.status();
    const absl::Status status = running->session->Run(kSteps);
    ASSERT_TRUE(status.ok()) << status;
    values.push_back(world.last_value);
    for (const auto& lane : timeline.lanes()) {
      for (const TimelineEvent& event : lane) {
        const placement::Task& task = plan.tasks(event.task);
        const bool replays = replay && kind() == "cuda" && event.step > 0;
        // The product, half of it, and the sum of its squares.
        EXPECT_EQ(event.tasks, replays && task.op() == "matmul" ? 3 : 1)
            << task.name() << " in step " << event.step;
        EXPECT_FALSE(replays && task.op() == "square_norm");
      }
    }
  }
  EXPECT_EQ(values[0], values[1]);
}

TEST_P(SessionTest, EndsIdleUnusedOrBesideOthers) {
  World first_world, second_world;
  auto unused = Start(SmallPlan(2, false, cuda()), &first_world);
  ASSERT_TRUE(unused.ok());
  unused->session.reset();
  auto first = Start(SmallPlan(2, false, cuda()), &first_world);
  auto second = Start(SmallPlan(3, true, cuda()), &second_world);
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(first->session->Run(2).ok());
  ASSERT_TRUE(second->session->Run(1).ok());
  first->session.reset();
  ASSERT_TRUE(second->session->Run(1).ok());
  EXPECT_EQ(first_world.last_fetched, 1);
  EXPECT_NEAR(first_world.last_value, second_world.last_value,
              1e-4 * first_world.last_value);
  EXPECT_EQ(second->session->memory().size(), 3u);
  for (const Session::DeviceMemory& memory : second->session->memory()) {
    EXPECT_GT(memory.resident_bytes, 0);
    EXPECT_LE(memory.resident_bytes, memory.planned_bytes);
  }
}

TEST_P(SessionTest, NamesTheFirstValueThatIsNoNumber) {
  for (bool check : {false, true}) {
    SCOPED_TRACE(check);
    World world;
    world.no_number_from = 3;
    SessionOptions options = Impatient();
    options.check_finite = check;
    options.first_step = 100;  // What it says counts from there, as does World.
    world.no_number_from += options.first_step;
    auto running = Start(SmallPlan(2, true, cuda()), &world, options);
    ASSERT_TRUE(running.ok()) << running.status();
    const Session& session = *running->session;
    ASSERT_TRUE(running->session->Run(2).ok());
    EXPECT_EQ(session.FirstNonFinite(-1), "");
    ASSERT_TRUE(running->session->Run(28).ok());
    if (!check && kind() == "cuda") {
      EXPECT_EQ(session.FirstNonFinite(-1), "");
      continue;
    }
    // Where it is looked at: the images are no small tensor.
    const std::string first = check ? "images" : "y";
    EXPECT_THAT(
        session.FirstNonFinite(-1),
        AllOf(HasSubstr("step 103: " + first), HasSubstr(" on " + kind()),
              HasSubstr("written by " + first)));
    // Of the steps between some are forgotten, of the last ones none.
    for (int64_t since : {128, 129}) {
      EXPECT_THAT(session.FirstNonFinite(since),
                  HasSubstr(absl::StrCat("step ", since, ": " + first)));
    }
    EXPECT_EQ(session.FirstNonFinite(130), "");
  }
}

TEST_P(SessionTest, WhatIsReplayedCannotBeLookedAt) {
  World world;
  SessionOptions options = Impatient();
  options.replay = options.check_finite = true;
  EXPECT_EQ(Start(SmallPlan(1, false, cuda()), &world, options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(SessionTest, AStalledRunNamesWhoWaitsForWhat) {
  World world;
  world.block_at = 1;
  SessionOptions options;
  options.stall_timeout = absl::Milliseconds(300);
  auto running = Start(SmallPlan(2, false, cuda()), &world, options);
  ASSERT_TRUE(running.ok());
  // Nobody releases the blocked task before Run is back.
  const absl::Status status = running->session->Run(3);
  world.Release();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("running images"));
  EXPECT_THAT(status.message(), HasSubstr("waits"));
  EXPECT_THAT(status.message(), HasSubstr("register"));
}

TEST_P(SessionTest, ASlowStepIsNoStallForThePatient) {
  World world;
  world.block_at = 1;
  SessionOptions options;
  options.stall_timeout = absl::InfiniteDuration();
  auto running = Start(SmallPlan(2, false, cuda()), &world, options);
  ASSERT_TRUE(running.ok());
  std::thread releaser([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    world.Release();
  });
  EXPECT_TRUE(running->session->Run(3).ok());
  releaser.join();
}

TEST(CpuSessionTest, RefusesWhatItCannotRun) {
  World world;
  const placement::Plan plan = SmallPlan(2, false);
  auto devices = *CreateCpuDevices(1);
  EXPECT_THAT(Session::Create(plan, {devices[0].get()}, {}).status().message(),
              HasSubstr("2 devices"));
  placement::Plan broken = plan;
  broken.mutable_registers(0)->set_arena_offset(int64_t{1} << 40);
  EXPECT_EQ(Start(broken, &world).status().code(),
            absl::StatusCode::kInvalidArgument);
  placement::Plan huge = plan;
  for (placement::Device& device : *huge.mutable_devices()) {
    device.set_arena_bytes(int64_t{1} << 50);
  }
  EXPECT_EQ(Start(huge, &world).status().code(),
            absl::StatusCode::kResourceExhausted);
  auto running = Start(plan, &world);
  ASSERT_TRUE(running.ok());
  EXPECT_TRUE(running->session->Run(0).ok());
  EXPECT_EQ(running->session->Run(-1).code(),
            absl::StatusCode::kInvalidArgument);
}

// Such a plan comes from no compiler, but may be in a file.
TEST(CpuSessionTest, PartsThatAreNoSumAreNotPutTogether) {
  placement::Plan plan = SmallPlan(2, false);
  for (placement::LogicalTensor& tensor : *plan.mutable_tensors()) {
    if (tensor.name() == "weight") tensor.set_sbp(0, "P(max)");
  }
  World world;
  const auto running = Start(plan, &world);
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_THAT(running->session->ReadVariable("weight").status().message(),
              HasSubstr("variable weight lies in parts"));
}

TEST(CpuSessionTest, ASteadyStepAllocatesNothing) {
  World world;
  auto running = Start(SmallPlan(2, false), &world);
  ASSERT_TRUE(running.ok());
  ASSERT_TRUE(running->session->Run(3).ok());
  allocations = 0;
  counting = true;
  const absl::Status status = running->session->Run(20);
  counting = false;
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(allocations, 0);
  // The counter counts.
  counting = true;
  delete new std::vector<int>(10);
  counting = false;
  EXPECT_GE(allocations, 2);
}

}  // namespace
}  // namespace facet::runtime
