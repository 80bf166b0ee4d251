// A plan that several processes run together, here as threads with sessions of
// their own: the same as one process with all of the devices.

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cuda_kernels.h"
#include "runtime/device/cpu_device.h"
#include "runtime/device/cuda_device.h"
#include "runtime/processes/in_memory.h"
#include "runtime/session.h"
#include "tests/session/small_session.h"

namespace facet::runtime {
namespace {

using testing::HasSubstr;

constexpr int kDevices = 4;

class ProcessesTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto devices = GetParam() == "cpu" ? CreateCpuDevices(kDevices)
                                       : CreateCudaDevices(kDevices);
    if (GetParam() == "cuda" && !devices.ok()) {
      GTEST_SKIP() << "needs " << kDevices
                   << " CUDA devices: " << devices.status();
    }
    ASSERT_TRUE(devices.ok()) << devices.status();
    devices_ = *std::move(devices);
  }

  placement::Plan Plan(bool split) const {
    return SmallPlan(kDevices, split,
                     GetParam() == "cuda" ? &ops::CudaKernels() : nullptr);
  }

  std::vector<Device*> DevicesOf(const ProcessGroup* process) const {
    std::vector<Device*> devices;
    for (int d = 0; d < kDevices; ++d) {
      const bool here =
          process == nullptr ||
          ProcessOfDevice(d, kDevices, process) == process->rank();
      devices.push_back(here ? devices_[d].get() : nullptr);
    }
    return devices;
  }

  absl::StatusOr<std::unique_ptr<Session>> Start(const placement::Plan& plan,
                                                 ProcessGroup* process,
                                                 World* world) const {
    SessionOptions options;
    options.processes = process;
    options.data_source = world;
    options.fetch_sink = world;
    options.stall_timeout = absl::Minutes(1);
    return Session::Create(plan, DevicesOf(process), options);
  }

  // body(rank, session, world) in each of `count` processes. One that returns
  // an error ends the others, as a program does.
  std::vector<absl::Status> InProcesses(
      int count, bool split, absl::Span<const std::unique_ptr<World>> worlds,
      const std::function<absl::Status(int, Session&, World&)>& body) const {
    const auto processes = CreateInMemoryProcesses(count);
    const placement::Plan plan = Plan(split);
    std::vector<absl::Status> statuses(count);
    std::vector<std::thread> threads;
    for (int p = 0; p < count; ++p) {
      threads.emplace_back([&, p] {
        auto session = Start(plan, processes[p].get(), worlds[p].get());
        statuses[p] = session.status();
        if (session.ok()) statuses[p] = body(p, **session, *worlds[p]);
        if (!statuses[p].ok()) processes[p]->Abort();
      });
    }
    for (std::thread& thread : threads) thread.join();
    return statuses;
  }

  static std::vector<std::unique_ptr<World>> Worlds(int count) {
    std::vector<std::unique_ptr<World>> worlds(count);
    for (auto& world : worlds) world = std::make_unique<World>();
    return worlds;
  }

  std::vector<std::unique_ptr<Device>> devices_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, ProcessesTest, testing::Values("cpu", "cuda"),
                         [](const testing::TestParamInfo<std::string>& info) {
                           return info.param;
                         });

TEST_P(ProcessesTest, TheSameBitsAsInOne) {
  for (bool split : {false, true}) {
    World alone;
    auto session = Start(Plan(split), nullptr, &alone);
    ASSERT_TRUE(session.ok()) << session.status();
    ASSERT_TRUE((*session)->Run(3).ok());
    for (int count : {2, 4}) {
      const auto worlds = Worlds(count);
      const auto statuses =
          InProcesses(count, split, worlds,
                      [](int, Session& s, World&) { return s.Run(3); });
      for (const absl::Status& status : statuses) {
        EXPECT_TRUE(status.ok()) << status;
      }
      EXPECT_EQ(worlds[0]->last_fetched, 2);
      EXPECT_EQ(worlds[0]->last_value, alone.last_value);
      // Every process reads the images of its devices, process 0 has the value.
      for (int p = 1; p < count; ++p) {
        EXPECT_EQ(worlds[p]->last_read, 2);
        EXPECT_EQ(worlds[p]->last_fetched, -1);
      }
    }
  }
}

TEST_P(ProcessesTest, VariablesAreProcess0s) {
  for (bool split : {false, true}) {
    std::vector<std::string> read(2), rows(2);
    const auto worlds = Worlds(2);
    const auto statuses = InProcesses(
        2, split, worlds, [&](int p, Session& s, World&) -> absl::Status {
          auto weight = s.ReadVariable("weight");
          if (!weight.ok()) return weight.status();
          // What the others give is ignored.
          for (int64_t i = 0; i < 5 * kPixels; ++i) {
            weight->as<float>()[i] = p == 0 ? static_cast<float>(i) : -1;
          }
          absl::Status status = s.WriteVariable("weight", *weight);
          if (!status.ok()) return status;
          // The third row again, which another process has.
          const std::vector<float> ones(kPixels, 1);
          status = s.WriteRows(
              "weight", 3, 4,
              p == 0 ? reinterpret_cast<const char*>(ones.data()) : nullptr);
          if (!status.ok()) return status;
          weight = s.ReadVariable("weight");
          if (!weight.ok()) return weight.status();
          read[p].assign(weight->data.begin(), weight->data.end());
          if (p == 0) rows[p].resize(2 * kPixels * 4);
          return s.ReadRows("weight", 2, 4, p == 0 ? rows[p].data() : nullptr);
        });
    for (const absl::Status& status : statuses) {
      ASSERT_TRUE(status.ok()) << status;
    }
    EXPECT_EQ(read[0], read[1]);
    const auto* values = reinterpret_cast<const float*>(read[0].data());
    int64_t wrong = 0;
    for (int64_t i = 0; i < 5 * kPixels; ++i) {
      wrong +=
          values[i] == (i / kPixels == 3 ? 1 : static_cast<float>(i)) ? 0 : 1;
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(rows[0], read[0].substr(2 * kPixels * 4, 2 * kPixels * 4));
  }
}

TEST_P(ProcessesTest, AnErrorInOneEndsTheOthers) {
  const auto worlds = Worlds(2);
  worlds[1]->fail_read_at = 1;
  const auto statuses = InProcesses(
      2, true, worlds, [](int, Session& s, World&) { return s.Run(1000); });
  EXPECT_THAT(std::string(statuses[1].message()),
              testing::AllOf(HasSubstr("the disk broke"), HasSubstr("step 1")));
  EXPECT_FALSE(statuses[0].ok());
}

TEST_P(ProcessesTest, RefusesDevicesThatAreNotItsOwn) {
  const auto processes = CreateInMemoryProcesses(2);
  World world;
  SessionOptions options;
  options.processes = processes[1].get();
  EXPECT_THAT(
      std::string(
          Session::Create(Plan(true), DevicesOf(processes[0].get()), options)
              .status()
              .message()),
      HasSubstr(
          "device 0 of the plan is process 0's: process 1 was given one"));
  const auto three = CreateInMemoryProcesses(3);
  options.processes = three[0].get();
  EXPECT_THAT(
      std::string(Session::Create(Plan(true), DevicesOf(nullptr), options)
                      .status()
                      .message()),
      HasSubstr("4 devices, which 3 processes"));
}

}  // namespace
}  // namespace facet::runtime
