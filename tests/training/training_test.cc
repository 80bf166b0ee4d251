// Whole training steps: any number of devices trains what one device trains,
// twice the same bits, fused or not, in every precision.

#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

using testing::HasSubstr;

TrainingResult MustTrain(const SmallTraining& training) {
  absl::StatusOr<TrainingResult> result = Train(training);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : TrainingResult{};
}

void ExpectEqualTraining(const TrainingResult& a, const TrainingResult& b,
                         double tolerance) {
  ASSERT_EQ(a.losses.size(), b.losses.size());
  for (size_t s = 0; s < a.losses.size(); ++s) {
    EXPECT_NEAR(a.losses[s], b.losses[s], tolerance * std::abs(a.losses[s]))
        << "step " << s;
  }
  ASSERT_EQ(a.variables.size(), b.variables.size());
  for (const auto& [name, value] : a.variables) {
    EXPECT_LE(RelativeDifference(value, b.variables.at(name)), tolerance)
        << name;
  }
}

std::string SbpOf(const placement::Plan& plan, const std::string& tensor) {
  for (const placement::LogicalTensor& t : plan.tensors()) {
    if (t.name() == tensor) return t.sbp(0);
  }
  return "no such tensor";
}

TEST(TrainingTest, AnyNumberOfDevicesTrainsTheSame) {
  SmallTraining training;
  training.classes = 1003;   // Uneven on 2, 4 and 8 devices,
  training.batch_size = 13;  // and so is the batch on all.
  const TrainingResult one = MustTrain(training);
  ASSERT_EQ(one.losses.size(), 5u);
  training.options.pins["head.weight"] = ops::Sbp::S(0);
  EXPECT_GT(one.variables.size(), 20u);
  for (int devices : {2, 3, 4, 8}) {
    SCOPED_TRACE(devices);
    training.devices = devices;
    const TrainingResult many = MustTrain(training);
    EXPECT_EQ(SbpOf(many.plan, "head.weight"), "S(0)");
    EXPECT_EQ(SbpOf(many.plan, "conv2.weight"), "B");
    ExpectEqualTraining(one, many, 1e-4);
  }
}

TEST(TrainingTest, DataParallelHeadTrainsTheSame) {
  SmallTraining training;
  training.classes = 5;
  training.batch_size = 64;
  training.steps = 3;
  const TrainingResult one = MustTrain(training);
  training.devices = 3;
  training.options.pins["head.weight"] = ops::Sbp::B();
  const TrainingResult many = MustTrain(training);
  EXPECT_EQ(SbpOf(many.plan, "head.weight"), "B");
  ExpectEqualTraining(one, many, 1e-4);
}

// Statistics per device are a property of the program (groups of the batch),
// not of the devices it runs on.
TEST(TrainingTest, BatchNormPerGroupIsTheSameOnOneDevice) {
  SmallTraining training;
  training.batch_size = 30;
  training.bn_groups = 4;  // 8, 8, 7 and 7 images.
  // Small steps: with few images per group, rounding grows quickly otherwise.
  training.options.optimizer.learning_rate = 0.01;
  const TrainingResult one = MustTrain(training);
  training.devices = 4;
  const TrainingResult many = MustTrain(training);
  ExpectEqualTraining(one, many, 1e-4);
  training.bn_groups = 1;
  EXPECT_NE(MustTrain(training).losses, many.losses);
}

TEST(TrainingTest, TwoRunsGiveTheSameBits) {
  SmallTraining training;
  training.devices = 3;
  const TrainingResult first = MustTrain(training);
  const TrainingResult second = MustTrain(training);
  EXPECT_EQ(first.plan.SerializeAsString(), second.plan.SerializeAsString());
  EXPECT_EQ(first.losses, second.losses);
  for (const auto& [name, value] : first.variables) {
    EXPECT_EQ(value.data, second.variables.at(name).data) << name;
  }
  training.seed = 4;
  EXPECT_NE(MustTrain(training).losses, first.losses);
}

TEST(TrainingTest, FusedAndUnfusedTrainTheSame) {
  SmallTraining training;
  training.devices = 2;
  training.classes = 20000;
  const TrainingResult fused = MustTrain(training);
  training.options.fuse = false;
  const TrainingResult plain = MustTrain(training);
  auto count = [](const placement::Plan& plan, const std::string& op) {
    int found = 0;
    for (const placement::Task& task : plan.tasks()) found += task.op() == op;
    return found;
  };
  EXPECT_EQ(count(fused.plan, "cosine_linear_sgd"), 2);  // One per device.
  EXPECT_EQ(count(plain.plan, "cosine_linear_sgd"), 0);
  ExpectEqualTraining(fused, plain, 1e-4);
}

TEST(TrainingTest, LossFallsInEveryPrecision) {
  SmallTraining training;
  training.devices = 2;
  training.steps = 12;
  training.same_batch = true;
  training.options.optimizer.learning_rate = 0.05;
  for (placement::Precision precision :
       {placement::Precision::kFloat32, placement::Precision::kBFloat16,
        placement::Precision::kFloat16}) {
    training.options.precision = precision;
    const TrainingResult result = MustTrain(training);
    ASSERT_EQ(result.losses.size(), 12u);
    EXPECT_LT(result.losses.back(), 0.5 * result.losses.front())
        << static_cast<int>(precision);
  }
}

// An overflow anywhere leaves all weights as they were, on every device.
TEST(TrainingTest, LossScaleSkipsAndHalvesOnOverflowAndGrowsWithoutIt) {
  SmallTraining training;
  training.devices = 2;
  training.classes = 200;
  training.options.precision = placement::Precision::kFloat16;
  training.options.initial_loss_scale = 1024;
  training.options.optimizer.loss_scale_growth_interval = 3;
  training.steps = 3;
  const TrainingResult before = MustTrain(training);
  EXPECT_EQ(before.variables.at("loss_scale").as<float>()[0], 2048);
  EXPECT_EQ(before.variables.at("loss_scale_good_steps").as<float>()[0], 0);

  training.steps = 4;
  training.spoiled_step = 3;
  training.spoil = 1e30f;  // Infinite in float16.
  const TrainingResult after = MustTrain(training);
  EXPECT_EQ(after.variables.at("loss_scale").as<float>()[0], 1024);
  for (const char* name : {"conv1.weight", "fc.weight", "head.weight",
                           "head.weight.momentum", "conv2.weight.momentum"}) {
    EXPECT_EQ(before.variables.at(name).data, after.variables.at(name).data)
        << name;
  }
}

TEST(TrainingTest, ClippingLimitsTheStep) {
  SmallTraining training;
  training.steps = 1;
  training.options.optimizer.weight_decay = 0;
  training.options.optimizer.learning_rate = 1;
  training.options.optimizer.clip_norm = 0.01;
  const TrainingResult result = MustTrain(training);
  // After one step the momentum is the clipped gradient.
  double square = 0;
  for (const auto& [name, value] : result.variables) {
    if (name.find(".momentum") == std::string::npos ||
        name == "head.weight.momentum") {
      continue;
    }
    for (int64_t i = 0; i < value.shape.num_elements(); ++i) {
      square += std::pow(value.as<float>()[i], 2);
    }
  }
  EXPECT_NEAR(std::sqrt(square), 0.01, 1e-4);
}

TEST(TrainingTest, UnknownPinsAreRefusedByName) {
  SmallTraining training;
  training.options.pins["nothing.like.this"] = ops::Sbp::B();
  EXPECT_THAT(CompileSmall(training).status().message(),
              HasSubstr("nothing.like.this"));
}

}  // namespace
}  // namespace facet::tests
