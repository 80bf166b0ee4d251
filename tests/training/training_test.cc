// Whole training steps: any number of devices trains what one device trains,
// twice the same bits, fused or not, in every precision.

#include <cmath>
#include <string>

#include "absl/strings/match.h"
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
                         double tolerance, double least = 1e-3) {
  ASSERT_EQ(a.losses.size(), b.losses.size());
  for (size_t s = 0; s < a.losses.size(); ++s) {
    EXPECT_NEAR(a.losses[s], b.losses[s], tolerance * std::abs(a.losses[s]))
        << "step " << s;
  }
  ASSERT_EQ(a.variables.size(), b.variables.size());
  for (const auto& [name, value] : a.variables) {
    ASSERT_TRUE(b.variables.contains(name)) << name;
    EXPECT_LE(RelativeDifference(value, b.variables.at(name), least), tolerance)
        << name;
  }
}

// See RelativeDifference: many biases of an IResNet are followed by nothing but
// batch norms, and a gradient of 0 sums a million terms.
constexpr double kLeastOfIResNet = 1e-2;

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

TEST(TrainingTest, ASmallIResNetTrainsTheSameOnAnyNumberOfDevices) {
  SmallTraining training;
  training.iresnet = true;
  training.classes = 1003;
  training.batch_size = 13;
  // Small steps: the network is deep, and rounding grows quickly otherwise.
  training.options.optimizer.learning_rate = 0.01;
  const TrainingResult one = MustTrain(training);
  EXPECT_GT(one.variables.size(), 100u);
  for (int devices : {2, 3, 4, 8}) {
    SCOPED_TRACE(devices);
    training.devices = devices;
    const TrainingResult many = MustTrain(training);
    EXPECT_EQ(SbpOf(many.plan, "layer1.0.conv1.weight"), "B");
    ExpectEqualTraining(one, many, 1e-4, kLeastOfIResNet);
  }
}

// What the compiler and the runtime make of a graph is what the graph says.
TEST(TrainingTest, TheCompiledStepIsTheGraphRunOpByOp) {
  for (bool iresnet : {false, true}) {
    SCOPED_TRACE(iresnet);
    SmallTraining training;
    training.iresnet = iresnet;
    training.classes = 101;
    training.options.optimizer.learning_rate = 0.01;
    training.options.optimizer.warmup_steps = 2;
    training.options.optimizer.total_steps = 5;
    // The oracle is slow.
    if (iresnet) training.batch_size = 5;
    training.steps = iresnet ? 3 : 5;
    const absl::StatusOr<TrainingResult> oracle = Interpret(training);
    ASSERT_TRUE(oracle.ok()) << oracle.status();
    ASSERT_EQ(oracle->losses.size(), static_cast<size_t>(training.steps));
    const double least = iresnet ? kLeastOfIResNet : 1e-3;
    ExpectEqualTraining(*oracle, MustTrain(training), 1e-4, least);
    training.devices = 3;
    ExpectEqualTraining(*oracle, MustTrain(training), 1e-4, least);
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

// Whatever the number of devices, and whether the head's update is fused, which
// gathers its gradients in the momentum.
TEST(TrainingTest, GradientsAccumulateTheSameOnAnyNumberOfDevices) {
  SmallTraining training;
  training.classes = 1003;
  training.batch_size = 12;
  training.steps = 7;  // The last begins another sum.
  training.options.optimizer.accumulate = 3;
  // A bias before a batch norm has a sum of 0 but for rounding.
  constexpr double kLeastOfSums = 3e-2;
  const TrainingResult one = MustTrain(training);
  const TrainingResult oracle = Interpret(training).value();
  ExpectEqualTraining(oracle, one, 1e-4, kLeastOfSums);
  for (int devices : {2, 3}) {
    training.devices = devices;
    const TrainingResult result = MustTrain(training);
    ExpectEqualTraining(one, result, 1e-4, kLeastOfSums);
    // The backbone's gradients are exchanged once per update.
    int exchanges = 0;
    for (const placement::Task& task : result.plan.tasks()) {
      if (!task.has_collective() || task.phase() != "optimizer") continue;
      EXPECT_EQ(task.every(), 3) << task.name();
      ++exchanges;
    }
    EXPECT_GT(exchanges, 0);
    EXPECT_EQ(SbpOf(result.plan, "conv1.weight.accumulated"), "P(sum)");
    int fused = 0;
    for (const placement::Task& task : result.plan.tasks()) {
      fused += task.op() == "cosine_linear_sgd";
    }
    EXPECT_EQ(fused, devices);
  }
  // Partial along one axis, repeated along the other, or as it may be.
  training.mesh = {{"node", 2}, {"device", 2}};
  training.devices = 4;
  ExpectEqualTraining(one, MustTrain(training), 1e-4, kLeastOfSums);
  training.options.splitting = placement::Splitting::kAll;
  ExpectEqualTraining(one, MustTrain(training), 1e-4, kLeastOfSums);
  training.options.splitting = placement::Splitting::kAuto;
  training.options.fuse = false;
  ExpectEqualTraining(one, MustTrain(training), 1e-4, kLeastOfSums);
  // It is not as if there were one step in three.
  training.options.optimizer.accumulate = 1;
  EXPECT_NE(MustTrain(training).losses, one.losses);
}

// Devices share out the backbone's weights and momenta, sum up gradients where
// the shares are, and gather the weights: as if they had them whole.
TEST(TrainingTest, SplitParametersTrainTheSame) {
  SmallTraining training;
  training.classes = 1003;
  training.batch_size = 12;
  for (const auto precision :
       {placement::Precision::kFloat32, placement::Precision::kBFloat16}) {
    const bool half = precision != placement::Precision::kFloat32;
    SCOPED_TRACE(half ? "bfloat16" : "float32");
    training.options.precision = precision;
    training.options.splitting = placement::Splitting::kNone;
    training.devices = 1;
    training.mesh.clear();
    const TrainingResult one = MustTrain(training);
    for (const int devices : {2, 3, 4}) {
      SCOPED_TRACE(devices);
      training.devices = devices;
      if (devices == 4) training.mesh = {{"node", 2}, {"device", 2}};
      training.options.splitting = placement::Splitting::kNone;
      const TrainingResult whole = MustTrain(training);
      training.options.splitting = placement::Splitting::kAll;
      const TrainingResult split = MustTrain(training);
      ExpectEqualTraining(one, split, half ? 0.05 : 1e-4, half ? 0.1 : 3e-2);
      for (const char* name : {"conv1.weight", "conv1.weight.momentum",
                               "fc.weight", "fc.weight.momentum"}) {
        EXPECT_EQ(SbpOf(whole.plan, name), "B") << name;
        EXPECT_EQ(SbpOf(split.plan, name), "S(0)") << name;
      }
      EXPECT_LT(split.plan.devices(0).persistent_bytes(),
                whole.plan.devices(0).persistent_bytes());
      std::map<placement::Collective::Kind, int> exchanges;
      for (const placement::Task& task : split.plan.tasks()) {
        if (task.has_collective() && task.part() == "backbone") {
          ++exchanges[task.collective().kind()];
        }
      }
      // By the made-up rates of the mesh all-reduces cost less: few bytes.
      if (devices < 4) {
        EXPECT_GT(exchanges[placement::Collective::REDUCE_SCATTER], 0);
      }
      EXPECT_GT(exchanges[placement::Collective::ALL_GATHER], 0);
    }
  }
}

// Less and less memory: other placements, shares of parameters that are
// gathered once or twice, activations that are computed again. All train the
// same.
TEST(TrainingTest, WhereMemoryIsShortItTrainsTheSame) {
  SmallTraining training;
  training.classes = 1003;
  training.batch_size = 12;
  training.steps = 3;
  const TrainingResult one = MustTrain(training);
  bool split = false;
  int again = 0, gathered = 0;
  for (const bool all_split : {false, true}) {
    // All there is to choose from, and shares of parameters alone.
    training.options.splitting =
        all_split ? placement::Splitting::kAll : placement::Splitting::kAuto;
    training.options.recomputing = all_split ? placement::Recomputing::kNone
                                             : placement::Recomputing::kAuto;
    for (const int devices : {2, 3}) {
      training.devices = devices;
      training.host_memory_bytes = 0;
      const auto roomy = CompileSmall(training);
      ASSERT_TRUE(roomy.ok()) << roomy.status();
      int64_t bytes = 0;
      for (const auto& device : roomy->devices()) bytes += device.arena_bytes();
      for (const int percent : {98, 95, 90, 80, 70, 60}) {
        SCOPED_TRACE(testing::Message() << devices << " devices, " << percent);
        training.host_memory_bytes = bytes * percent / 100;
        const auto result = Train(training);
        if (absl::IsResourceExhausted(result.status())) break;
        ASSERT_TRUE(result.ok()) << result.status();
        ExpectEqualTraining(one, *result, 1e-4, 3e-2);
        for (const placement::Option& option : result->plan.options()) {
          split = split ||
                  (option.name() == "parameters" && option.value() == "split");
        }
        again += result->plan.recomputation().tensors();
        gathered += result->plan.recomputation().gathered();
        // The plan does what the search chose.
        int gathers = 0;
        for (const placement::Task& task : result->plan.tasks()) {
          gathers += task.device() == 0 && task.has_collective() &&
                     absl::StrContains(task.name(), "/again");
        }
        EXPECT_EQ(gathers, result->plan.recomputation().gathered());
      }
    }
  }
  EXPECT_TRUE(split);
  EXPECT_GT(again, 0);
  EXPECT_GT(gathered, 0);
}

// Partial sums are saved whole, in the middle of an update's steps, and other
// devices can go on with them.
TEST(TrainingTest, AccumulatedGradientsAreInTheCheckpoint) {
  SmallTraining training;
  training.devices = 2;
  training.classes = 1003;
  training.batch_size = 12;
  training.steps = 6;
  training.options.optimizer.accumulate = 3;
  const TrainingResult whole = MustTrain(training);
  training.steps = 4;
  training.checkpoint = ::testing::TempDir() + "/accumulated.safetensors";
  MustTrain(training);
  training.resume = training.checkpoint;
  training.checkpoint.clear();
  training.steps = 2;
  for (int devices : {2, 3}) {
    training.devices = devices;
    const TrainingResult rest = MustTrain(training);
    EXPECT_EQ(SbpOf(rest.plan, "conv1.weight.accumulated"), "P(sum)");
    for (const char* name : {"conv1.weight", "fc.weight.momentum",
                             "head.weight", "head.weight.momentum"}) {
      EXPECT_LT(
          RelativeDifference(whole.variables.at(name), rest.variables.at(name)),
          1e-4)
          << name << " on " << devices;
    }
  }
}

// The bits, and less memory. Of logits that are made again not the bits: their
// exponents are relative to something else.
TEST(TrainingTest, ComputingAgainTrainsTheSame) {
  for (int devices : {1, 3}) {
    for (auto precision :
         {placement::Precision::kFloat32, placement::Precision::kBFloat16}) {
      SmallTraining training;
      training.devices = devices;
      training.batch_size = 9;
      training.iresnet = true;
      training.steps = 3;
      training.options.precision = precision;
      // What is pinned is there, and so is stored.
      training.options.pins["head.cosines"] =
          ops::NdSbp({devices == 1 ? ops::Sbp::B() : ops::Sbp::S(1)});
      training.options.recomputing = placement::Recomputing::kNone;
      const auto kept = Train(training);
      training.options.recomputing = placement::Recomputing::kAll;
      const auto again = Train(training);
      training.options.pins.clear();
      const auto all = Train(training);
      ASSERT_TRUE(kept.ok() && again.ok() && all.ok())
          << kept.status() << again.status() << all.status();
      EXPECT_FALSE(kept->plan.has_recomputation());
      EXPECT_GT(again->plan.recomputation().tensors(), 10);
      EXPECT_FALSE(again->plan.recomputation().logits());
      EXPECT_LT(again->plan.devices(0).arena_bytes(),
                kept->plan.devices(0).arena_bytes());
      EXPECT_EQ(again->losses, kept->losses);
      for (const auto& [name, value] : kept->variables) {
        EXPECT_EQ(again->variables.at(name).data, value.data) << name;
      }
      EXPECT_GT(all->plan.recomputation().tensors(), 10);
      EXPECT_TRUE(all->plan.recomputation().logits());
      if (precision == placement::Precision::kFloat32) {
        ExpectEqualTraining(*kept, *all, 1e-4, kLeastOfIResNet);
        continue;
      }
      // A bit of float32 may be one of bfloat16 in the next layer.
      for (size_t step = 0; step < kept->losses.size(); ++step) {
        EXPECT_NEAR(all->losses[step], kept->losses[step],
                    2e-3 * kept->losses[step]);
      }
    }
  }
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

// Only the last device's images overflow.
TEST(TrainingTest, AnOverflowOnOneDeviceSkipsTheStepOnAll) {
  SmallTraining training;
  training.devices = 3;
  training.classes = 200;
  training.batch_size = 9;
  training.bn_groups = 3;  // Statistics do not spread it.
  training.options.precision = placement::Precision::kFloat16;
  training.options.initial_loss_scale = 1024;
  training.steps = 2;
  const TrainingResult before = MustTrain(training);
  training.steps = 3;
  training.spoiled_step = 2;
  training.spoiled_from = 8;
  training.spoil = 1e30f;
  const TrainingResult after = MustTrain(training);
  EXPECT_EQ(after.variables.at("loss_scale").as<float>()[0], 512);
  int weights = 0;
  for (const auto& [name, value] : before.variables) {
    if (name.find(".running_") != std::string::npos ||
        name.find("loss_scale") != std::string::npos ||
        name.find("num_batches") != std::string::npos) {
      continue;
    }
    EXPECT_EQ(value.data, after.variables.at(name).data) << name;
    ++weights;
  }
  EXPECT_GT(weights, 20);
}

// The norm is of the whole gradient, wherever its parts are.
TEST(TrainingTest, ClippingIsTheSameOnAnyNumberOfDevices) {
  SmallTraining training;
  training.classes = 101;
  training.batch_size = 10;
  training.options.optimizer.learning_rate = 0.01;
  std::vector<TrainingResult> on_one;
  for (double clip_norm : {0.0, 0.1}) {
    SCOPED_TRACE(clip_norm);
    training.options.optimizer.clip_norm = clip_norm;
    training.options.pins.clear();
    training.devices = 1;
    on_one.push_back(MustTrain(training));
    training.devices = 3;
    // Gradients that are not clipped are large, and so is their rounding.
    const double least = clip_norm == 0 ? 0.1 : 1e-3;
    ExpectEqualTraining(on_one.back(), MustTrain(training), 1e-4, least);
    // A clipped weight that is split: every device has a part of the norm.
    training.options.pins["fc.weight"] = ops::Sbp::S(0);
    const TrainingResult split = MustTrain(training);
    EXPECT_EQ(SbpOf(split.plan, "fc.weight"), "S(0)");
    ExpectEqualTraining(on_one.back(), split, 1e-4, least);
  }
  EXPECT_GT(RelativeDifference(on_one[0].variables.at("fc.weight"),
                               on_one[1].variables.at("fc.weight")),
            1e-3);
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

TEST(TrainingTest, APlanThatStatesEqualDevicesOnceIsNotRun) {
  SmallTraining training;
  training.devices = 2;
  training.options.state_equal_once = true;
  const auto plan = CompileSmall(training);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const absl::Status refused = RunPlan(training, *plan).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("what device 1 does"), std::string::npos)
      << refused;
}

TEST(TrainingTest, UnknownPinsAreRefusedByName) {
  SmallTraining training;
  training.options.pins["nothing.like.this"] = ops::Sbp::B();
  EXPECT_THAT(CompileSmall(training).status().message(),
              HasSubstr("nothing.like.this"));
}

}  // namespace
}  // namespace facet::tests
