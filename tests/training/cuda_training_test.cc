// Whole steps on CUDA devices, emulated where there is none, against the
// interpreter. The emulation fails on any access that no event, credit or
// collective orders, whatever the timing was.
#include "gtest/gtest.h"
#include "ops/cuda_kernels.h"
#include "runtime/device/cuda_device.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

class CudaTrainingTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const auto devices = runtime::CudaDevices();
    ASSERT_TRUE(devices.ok()) << devices.status();
    if (static_cast<int>(devices->size()) < GetParam()) {
      GTEST_SKIP() << "this machine has " << devices->size()
                   << " CUDA devices, the case needs " << GetParam();
    }
  }

  SmallTraining OnCuda() const {
    SmallTraining training;
    training.backend = {"cuda", &ops::CudaKernels(),
                        runtime::CreateCudaDevices};
    training.devices = GetParam();
    training.steps = 3;
    return training;
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, CudaTrainingTest, testing::Values(1, 2, 4));

void ExpectSame(const TrainingResult& expected, const TrainingResult& result,
                double tolerance) {
  ASSERT_EQ(result.losses.size(), expected.losses.size());
  for (size_t step = 0; step < result.losses.size(); ++step) {
    EXPECT_NEAR(result.losses[step], expected.losses[step],
                tolerance * expected.losses[step])
        << "step " << step;
  }
  for (const auto& [name, value] : expected.variables) {
    const auto found = result.variables.find(name);
    ASSERT_NE(found, result.variables.end()) << name;
    EXPECT_LE(RelativeDifference(value, found->second), tolerance) << name;
  }
}

// 37 classes and 8 images: uneven shards.
TEST_P(CudaTrainingTest, TrainsAsTheInterpreter) {
  const SmallTraining training = OnCuda();
  const auto expected = Interpret(training);
  ASSERT_TRUE(expected.ok()) << expected.status();
  const auto result = Train(training);
  ASSERT_TRUE(result.ok()) << result.status();
  ExpectSame(*expected, *result, 1e-3);
}

TEST_P(CudaTrainingTest, TheSameBitsTwice) {
  const SmallTraining training = OnCuda();
  const auto first = Train(training);
  const auto second = Train(training);
  ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  EXPECT_EQ(first->losses, second->losses);
  for (const auto& [name, value] : first->variables) {
    EXPECT_EQ(second->variables.at(name).data, value.data) << name;
  }
}

}  // namespace
}  // namespace facet::tests
