// Whole steps that are recorded and replayed (CUDA graphs), emulated where
// there is no CUDA device, against the same steps without.
#include <cstring>
#include <functional>
#include <string>

#include "gtest/gtest.h"
#include "tests/training/cuda_backend.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

class CudaGraphTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { FACET_SKIP_WITHOUT_CUDA_DEVICES(GetParam()); }

  SmallTraining OnCuda() const {
    SmallTraining training;
    training.backend = CudaBackend();
    training.devices = GetParam();
    return training;
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, CudaGraphTest, testing::Values(1, 2, 4));

// What depends on the step (the learning rate, random numbers, rounds of steps)
// is not replayed, all else is: whatever it is, it gives the same bits.
TEST_P(CudaGraphTest, TrainsTheSame) {
  struct Case {
    const char* name;
    std::function<void(SmallTraining*)> change;
  };
  const Case cases[] = {
      {"float32", [](SmallTraining*) {}},
      {"float16",
       [](SmallTraining* t) {
         t->options.precision = placement::Precision::kFloat16;
         t->options.initial_loss_scale = 1024;
         t->spoiled_step = 2;
         t->spoil = 1e30f;  // Infinite: the step is skipped.
       }},
      {"rounded state",
       [](SmallTraining* t) {
         t->storage = {ops::DataType::kBFloat16, ops::DataType::kBFloat16};
       }},
      {"Partial FC",
       [](SmallTraining* t) {
         t->classes = 200;
         t->sample_rate = 0.2;
         t->class_groups = 4;
       }},
      {"accumulation",
       [](SmallTraining* t) { t->options.optimizer.accumulate = 2; }},
      {"computed again",
       [](SmallTraining* t) {
         t->options.recomputing = placement::Recomputing::kAll;
       }},
      {"an IResNet", [](SmallTraining* t) { t->iresnet = true; }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    SmallTraining training = OnCuda();
    training.steps = 4;
    training.options.optimizer.warmup_steps = 4;
    c.change(&training);
    const auto expected = Train(training);
    training.replay = true;
    const auto result = Train(training);
    ASSERT_TRUE(expected.ok() && result.ok())
        << expected.status() << result.status();
    ASSERT_EQ(expected->losses.size(), result->losses.size());
    for (size_t step = 0; step < expected->losses.size(); ++step) {
      // Also of a loss that is not a number.
      EXPECT_TRUE(std::memcmp(&expected->losses[step], &result->losses[step],
                              sizeof(float)) == 0)
          << step << ": " << expected->losses[step] << ", replayed "
          << result->losses[step];
    }
    for (const auto& [name, value] : expected->variables) {
      EXPECT_TRUE(result->variables.at(name).data == value.data) << name;
    }
  }
}

}  // namespace
}  // namespace facet::tests
