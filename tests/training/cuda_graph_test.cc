// Whole steps that are recorded and replayed (CUDA graphs), emulated where
// there is no CUDA device, against the same steps without.
#include <cstring>
#include <functional>
#include <ostream>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/training/cuda_backend.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

struct Case {
  const char* name;
  std::function<void(SmallTraining*)> change;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

const Case kCases[] = {
    {"Float32", [](SmallTraining*) {}},
    {"Float16",
     [](SmallTraining* t) {
       t->options.precision = placement::Precision::kFloat16;
       t->options.initial_loss_scale = 1024;
       t->spoiled_step = 2;
       t->spoil = 1e30f;  // Infinite: the step is skipped.
     }},
    {"RoundedState",
     [](SmallTraining* t) {
       t->storage = {ops::DataType::kBFloat16, ops::DataType::kBFloat16};
     }},
    {"PartialFc",
     [](SmallTraining* t) {
       t->classes = 200;
       t->sample_rate = 0.2;
       t->class_groups = 4;
     }},
    {"Accumulation",
     [](SmallTraining* t) { t->options.optimizer.accumulate = 2; }},
    {"ComputedAgain",
     [](SmallTraining* t) {
       t->options.recomputing = placement::Recomputing::kAll;
     }},
    {"IResNet", [](SmallTraining* t) { t->iresnet = true; }},
};

using Param = std::tuple<int, Case>;  // On how many devices.

class CudaGraphTest : public testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    FACET_SKIP_WITHOUT_CUDA_DEVICES(std::get<int>(GetParam()));
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, CudaGraphTest,
                         testing::Combine(testing::Values(1, 2, 4),
                                          testing::ValuesIn(kCases)),
                         [](const testing::TestParamInfo<Param>& info) {
                           return absl::StrCat(std::get<Case>(info.param).name,
                                               "On", std::get<int>(info.param));
                         });

// What depends on the step (the learning rate, random numbers, rounds of steps)
// is not replayed, all else is: whatever it is, it gives the same bits.
TEST_P(CudaGraphTest, TrainsTheSame) {
  SmallTraining training;
  training.backend = CudaBackend();
  training.devices = std::get<int>(GetParam());
  training.steps = 4;
  training.options.optimizer.warmup_steps = 4;
  std::get<Case>(GetParam()).change(&training);
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

}  // namespace
}  // namespace facet::tests
