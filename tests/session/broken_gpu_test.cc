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

// Breaks the GPUs when the third step's value arrives.
class BreakingWorld : public World {
 public:
  absl::Status OnFetch(int64_t step, absl::string_view name, int device,
                       const ops::TensorView& value) override {
    if (++fetched == 3) cuda_emulation::InjectError(cudaErrorECCUncorrectable);
    return World::OnFetch(step, name, device, value);
  }
  int fetched = 0;
};

class BrokenGpuTest : public testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(Graphs, BrokenGpuTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return info.param ? "Replayed" : "Started";
                         });

TEST_P(BrokenGpuTest, EndsTheRunWithDeviceAndStep) {
  const placement::Plan plan =
      SmallPlan(2, /*split_weight=*/true, &ops::CudaKernels());
  auto owned = CreateCudaDevices(2);
  ASSERT_TRUE(owned.ok()) << owned.status();
  std::vector<Device*> devices;
  for (const auto& device : *owned) devices.push_back(device.get());
  BreakingWorld world;
  SessionOptions options;
  options.data_source = &world;
  options.fetch_sink = &world;
  options.first_step = 1000;
  options.replay = GetParam();
  auto session = Session::Create(plan, devices, options);
  ASSERT_TRUE(session.ok()) << session.status();

  const absl::Status status = (*session)->Run(100);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  // Which call finds out is chance: it is of the step that broke, of the one
  // before, or of one that was started ahead (images are read some ahead).
  EXPECT_THAT(std::string(status.message()),
              AllOf(ContainsRegex("^cuda:[01], (task|stream) "),
                    ContainsRegex(", step 10[01][0-9]: "),
                    HasSubstr("cudaErrorECCUncorrectable"), HasSubstr("Xid")));
  EXPECT_LT(world.fetched, 10);
  EXPECT_EQ((*session)->Run(1), status);

  session->reset();
  cuda_emulation::InjectError(cudaSuccess);
  EXPECT_EQ(cuda_emulation::TakeViolation(), "");
}

}  // namespace
}  // namespace facet::runtime
