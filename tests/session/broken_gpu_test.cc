// A GPU that breaks while a session runs. Emulated in any build: real ones do
// not break on demand.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cuda_kernels.h"
#include "runtime/device/cuda_device.h"
#include "runtime/session.h"
#include "tests/session/small_session.h"
#include "third_party/cuda_emulation/emulation.h"

namespace facet::runtime {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

// Breaks the GPUs when so many steps' values have arrived.
class BreakingWorld : public World {
 public:
  absl::Status OnFetch(int64_t step, absl::string_view name, int device,
                       const ops::TensorView& value) override {
    if (++fetched == breaks_at)
      cuda_emulation::InjectError(cudaErrorECCUncorrectable);
    return World::OnFetch(step, name, device, value);
  }
  int fetched = 0, breaks_at = -1;
};

class BrokenGpuTest : public testing::TestWithParam<bool> {
 protected:
  // A session of the plan on two GPUs; replayed or not.
  void Start(const placement::Plan& plan) {
    auto owned = CreateCudaDevices(2);
    ASSERT_TRUE(owned.ok()) << owned.status();
    devices_ = *std::move(owned);
    std::vector<Device*> devices;
    for (const auto& device : devices_) devices.push_back(device.get());
    SessionOptions options;
    options.data_source = &world_;
    options.fetch_sink = &world_;
    options.first_step = 1000;
    options.replay = GetParam();
    auto session = Session::Create(plan, devices, options);
    ASSERT_TRUE(session.ok()) << session.status();
    session_ = *std::move(session);
  }

  void TearDown() override {
    session_.reset();
    cuda_emulation::InjectError(cudaSuccess);
    EXPECT_EQ(cuda_emulation::TakeViolation(), "");
  }

  BreakingWorld world_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::unique_ptr<Session> session_;
};

INSTANTIATE_TEST_SUITE_P(Graphs, BrokenGpuTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return info.param ? "Replayed" : "Started";
                         });

TEST_P(BrokenGpuTest, EndsTheRunWithDeviceAndStep) {
  world_.breaks_at = 3;
  ASSERT_NO_FATAL_FAILURE(
      Start(SmallPlan(2, /*split_weight=*/true, &ops::CudaKernels())));
  const absl::Status status = session_->Run(100);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  // Which call finds out is chance: it is of the step that broke, of the one
  // before, or of one that was started ahead (images are read some ahead).
  EXPECT_THAT(std::string(status.message()),
              AllOf(ContainsRegex("^cuda:[01], (task|stream) "),
                    ContainsRegex(", step 10[01][0-9]: "),
                    HasSubstr("cudaErrorECCUncorrectable"), HasSubstr("Xid")));
  EXPECT_LT(world_.fetched, 10);
  EXPECT_EQ(session_->Run(1), status);
}

// What is done before variables are read, which is of no step.
TEST_P(BrokenGpuTest, BetweenStepsTheTaskIsNamed) {
  placement::Plan plan =
      SmallPlan(2, /*split_weight=*/true, &ops::CudaKernels());
  for (const placement::Task& task : plan.tasks()) {
    if (task.op() == "fetch" && plan.settle_tasks().empty()) {
      *plan.add_settle_tasks() = task;
    }
  }
  ASSERT_EQ(plan.settle_tasks_size(), 1);
  placement::Task* const settle = plan.mutable_settle_tasks(0);
  for (int r = 0; r < plan.registers_size(); ++r) {
    const placement::Register& reg = plan.registers(r);
    if (reg.name() == "weight" && reg.device() == settle->device()) {
      settle->set_inputs(0, r);
    }
  }
  ASSERT_NO_FATAL_FAILURE(Start(plan));
  ASSERT_TRUE(session_->Run(1).ok());
  cuda_emulation::InjectError(cudaErrorECCUncorrectable);
  std::vector<float> rows(5 * kPixels);
  const absl::Status status =
      session_->ReadRows("weight", 0, 5, reinterpret_cast<char*>(rows.data()));
  EXPECT_THAT(std::string(status.message()),
              AllOf(ContainsRegex("^cuda:[01], task fetch \\(fetch\\): "),
                    HasSubstr("cudaErrorECCUncorrectable")));
}

}  // namespace
}  // namespace facet::runtime
