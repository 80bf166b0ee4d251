// Whole steps on CUDA devices, emulated where there is none, against the
// interpreter. The emulation fails on any access that no event, credit or
// collective orders, whatever the timing was.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/testing/cuda_on_host.h"
#include "tests/training/cuda_backend.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

class CudaTrainingTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { FACET_SKIP_WITHOUT_CUDA_DEVICES(GetParam()); }

  SmallTraining OnCuda() const {
    SmallTraining training;
    training.backend = CudaBackend();
    training.devices = GetParam();
    training.steps = 3;
    return training;
  }
  static SmallTraining OnCpu(SmallTraining training) {
    training.backend = Backend();
    return training;
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, CudaTrainingTest, testing::Values(1, 2, 4),
                         testing::PrintToStringParamName());

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
    if (value.dtype == ops::DataType::kInt32) {
      EXPECT_EQ(found->second.data, value.data) << name;
      continue;
    }
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

// By TF32 the losses stay near; that factors were rounded shows in the bits.
TEST_P(CudaTrainingTest, RoundedConvolutionsTrainNearly) {
  SmallTraining training = OnCuda();
  const auto exact = Train(training);
  training.options.rounding = placement::Rounding::kConvolutions;
  const auto rounded = Train(training);
  ASSERT_TRUE(exact.ok() && rounded.ok()) << exact.status() << rounded.status();
  EXPECT_NE(rounded->losses, exact->losses);
  for (size_t step = 0; step < rounded->losses.size(); ++step) {
    EXPECT_NEAR(rounded->losses[step], exact->losses[step],
                5e-3 * exact->losses[step])
        << "step " << step;
  }
}

// The state of rows that no step has touched is brought up to date when it is
// read.
TEST_P(CudaTrainingTest, PartialFcTrainsAsOnCpus) {
  for (const std::string row_update : {"sampled", "dense"}) {
    SCOPED_TRACE(row_update);
    SmallTraining training = OnCuda();
    training.classes = 200;
    training.sample_rate = 0.2;
    training.class_groups = 4;
    training.options.optimizer.row_update = row_update;
    const auto expected = Train(OnCpu(training));
    const auto result = Train(training);
    ASSERT_TRUE(expected.ok() && result.ok())
        << expected.status() << result.status();
    ExpectSame(*expected, *result, 1e-3);
  }
}

// Rounding differs between the backends; the loss scale does not.
TEST_P(CudaTrainingTest, HalfPrecisionTrainsAsOnCpus) {
  for (const placement::Precision precision :
       {placement::Precision::kFloat16, placement::Precision::kBFloat16}) {
    SmallTraining training = OnCuda();
    training.options.precision = precision;
    training.options.rounding = placement::Rounding::kAll;
    training.options.initial_loss_scale = 1024;
    const auto expected = Train(OnCpu(training));
    const auto result = Train(training);
    ASSERT_TRUE(expected.ok() && result.ok())
        << expected.status() << result.status();
    ASSERT_EQ(result->losses.size(), expected->losses.size());
    for (size_t step = 0; step < result->losses.size(); ++step) {
      EXPECT_NEAR(result->losses[step], expected->losses[step],
                  0.02 * expected->losses[step])
          << "step " << step;
    }
    if (precision == placement::Precision::kFloat16) {
      EXPECT_EQ(result->variables.at("loss_scale").data,
                expected->variables.at("loss_scale").data);
    }
  }
}

// Says that kernels take less time together than apart.
class TogetherIsFaster : public placement::KernelTimer {
 public:
  std::vector<std::vector<double>> Seconds(
      const std::vector<placement::KernelChoice>& choices) override {
    std::vector<std::vector<double>> seconds;
    for (const placement::KernelChoice& choice : choices) {
      const bool joins =
          choice.op == "conv2d_statistics" || choice.op == "matmul_bias";
      const double one = joins ? 1e-6 : 1e-3;
      seconds.emplace_back(choice.alternatives.size(), one);
    }
    return seconds;
  }
};

// cuDNN's engine for a convolution and the statistics of its result, and
// cuBLASLt's bias.
TEST_P(CudaTrainingTest, JoinedKernelsTrainAsTheyDoApart) {
  TogetherIsFaster timer;
  SmallTraining training = OnCuda();
  training.options.precision = placement::Precision::kFloat16;
  training.options.initial_loss_scale = 1024;
  training.bn_groups = GetParam();  // Each device its own.
  const auto apart = Train(training);
  training.kernel_timer = &timer;
  const auto joined = Train(training);
  if (!ops::CudaIsEmulated() && absl::IsUnimplemented(joined.status())) {
    GTEST_SKIP() << joined.status().message();
  }
  ASSERT_TRUE(apart.ok() && joined.ok()) << apart.status() << joined.status();
  auto count = [](const placement::Plan& plan, const std::string& op) {
    return std::count_if(plan.tasks().begin(), plan.tasks().end(),
                         [&](const auto& task) { return task.op() == op; });
  };
  for (const std::vector<std::string>& ops :
       {std::vector<std::string>{"conv2d_statistics", "conv2d",
                                 "batch_norm_statistics"},
        {"matmul_bias", "matmul", "bias_add"}}) {
    SCOPED_TRACE(ops[0]);
    const auto joint = count(joined->plan, ops[0]);
    EXPECT_GT(joint, 0);
    for (int part : {1, 2}) {
      EXPECT_EQ(count(joined->plan, ops[part]) + joint,
                count(apart->plan, ops[part]))
          << ops[part];
    }
  }
  for (size_t step = 0; step < apart->losses.size(); ++step) {
    EXPECT_NEAR(joined->losses[step], apart->losses[step],
                5e-3 * apart->losses[step])
        << "step " << step;
  }
  const auto again = RunPlan(training, joined->plan);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->losses, joined->losses);
}

// An overflow is found on the device and skips the step there, also where the
// gradient that has it is never whole.
TEST_P(CudaTrainingTest, AnOverflowSkipsTheStep) {
  for (const auto recomputing :
       {placement::Recomputing::kNone, placement::Recomputing::kAll}) {
    SmallTraining training = OnCuda();
    training.options.recomputing = recomputing;
    training.options.precision = placement::Precision::kFloat16;
    training.options.initial_loss_scale = 1024;
    training.steps = 1;
    const auto before = Train(training);
    training.steps = 2;
    training.spoiled_step = 1;
    training.spoil = 1e30f;  // Infinite in float16.
    const auto after = Train(training);
    ASSERT_TRUE(before.ok() && after.ok()) << before.status() << after.status();
    EXPECT_EQ(after->plan.recomputation().logits(),
              recomputing == placement::Recomputing::kAll);
    EXPECT_EQ(after->variables.at("loss_scale").as<float>()[0], 512);
    EXPECT_EQ(before->variables.at("head.weight").data,
              after->variables.at("head.weight").data);
  }
}

// Looking at what tasks wrote changes nothing, and all of it is written: the
// emulation does not let memory be read that is not.
TEST_P(CudaTrainingTest, FindsTheFirstValueThatIsNotFinite) {
  SmallTraining whole = OnCuda();
  SmallTraining partial_fc = OnCuda();
  partial_fc.classes = 200;
  partial_fc.sample_rate = 0.2;
  partial_fc.class_groups = 4;
  partial_fc.options.precision = placement::Precision::kFloat16;
  partial_fc.options.initial_loss_scale = 1024;
  for (SmallTraining training : {whole, partial_fc}) {
    training.steps = 3;
    training.spoiled_step = 2;
    training.spoil = INFINITY;
    const auto expected = Train(training);
    training.check_finite = true;
    const auto result = Train(training);
    ASSERT_TRUE(expected.ok() && result.ok())
        << expected.status() << result.status();
    EXPECT_EQ(expected->first_non_finite, "");
    EXPECT_THAT(result->first_non_finite,
                testing::HasSubstr("step 2: images on cuda:"));
    for (int step : {0, 1}) {
      EXPECT_EQ(result->losses[step], expected->losses[step]);
    }
  }
}

TEST_P(CudaTrainingTest, LogitsThatAreMadeAgainTrainTheSame) {
  SmallTraining training = OnCuda();
  const auto expected = Train(OnCpu(training));
  training.options.recomputing = placement::Recomputing::kAll;
  const auto result = Train(training);
  ASSERT_TRUE(expected.ok() && result.ok())
      << expected.status() << result.status();
  EXPECT_TRUE(result->plan.recomputation().logits());
  ExpectSame(*expected, *result, 1e-3);
}

// In float32 the head gathers its gradients in the momentum; with a loss scale
// all are added up, and an overflow in one step drops the update of two.
TEST_P(CudaTrainingTest, GradientsAccumulateAsOnCpus) {
  SmallTraining training = OnCuda();
  training.steps = 4;
  training.options.optimizer.accumulate = 2;
  training.options.splitting = placement::Splitting::kAll;
  const auto expected = Train(OnCpu(training));
  const auto result = Train(training);
  ASSERT_TRUE(expected.ok() && result.ok())
      << expected.status() << result.status();
  ASSERT_EQ(result->losses.size(), 4u);
  for (size_t step = 0; step < 4; ++step) {
    EXPECT_NEAR(result->losses[step], expected->losses[step],
                1e-3 * expected->losses[step]);
  }
  for (const char* name : {"head.weight", "fc.weight", "conv1.weight"}) {
    EXPECT_LE(RelativeDifference(expected->variables.at(name),
                                 result->variables.at(name)),
              1e-3)
        << name;
  }
  training.options.precision = placement::Precision::kFloat16;
  training.options.initial_loss_scale = 1024;
  training.steps = 2;
  const auto before = Train(training);
  training.steps = 4;
  training.spoiled_step = 2;
  training.spoil = 1e30f;  // Infinite in float16.
  const auto after = Train(training);
  ASSERT_TRUE(before.ok() && after.ok()) << before.status() << after.status();
  EXPECT_EQ(after->variables.at("loss_scale").as<float>()[0], 512);
  for (const char* name : {"head.weight", "fc.weight.momentum"}) {
    EXPECT_EQ(before->variables.at(name).data, after->variables.at(name).data)
        << name;
  }
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

// Gathered twice, computed twice: streams wait for what they must.
TEST_P(CudaTrainingTest, WhereMemoryIsShort) {
  SmallTraining training = OnCuda();
  training.classes = 1003;
  training.batch_size = 48;
  training.steps = 2;
  const auto expected = Train(OnCpu(training));
  ASSERT_TRUE(expected.ok()) << expected.status();
  int again = 0;
  for (int round = 0; round < 3; ++round) {
    const auto result = Train(training);
    if (absl::IsResourceExhausted(result.status())) break;
    ASSERT_TRUE(result.ok()) << result.status();
    ExpectSame(*expected, *result, 1e-4);
    again += result->plan.recomputation().tensors() +
             result->plan.recomputation().gathered();
    // A little less than that took.
    int64_t bytes = 0;
    for (const auto& device : result->plan.devices()) {
      bytes += device.arena_bytes();
    }
    training.host_memory_bytes = bytes * 98 / 100;
  }
  EXPECT_GT(again, 0);
}

}  // namespace
}  // namespace facet::tests
