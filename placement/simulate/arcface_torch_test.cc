#include "placement/simulate/arcface_torch.h"

#include <cmath>

#include "gtest/gtest.h"
#include "placement/simulate/arcface_torch_backbone.h"
#include "placement/simulate/hardware.h"
#include "placement/simulate/simulator.h"

namespace facet::placement {
namespace {

Hardware Profile() { return *ReadHardware("v100_sxm2_32gb"); }

// As PyTorch counts them: 43,590,848 parameters of iresnet50, of which the
// frozen scale of the last batch norm is not trained.
TEST(ArcfaceTorchTest, TheBackboneHasIResNet50sParameters) {
  const Hardware hardware = Profile();
  Plan plan;
  EagerRank rank(&hardware, 8, 0, &plan);
  const ArcfaceTorchBackbone backbone({3, 4, 14, 3}, 64, false, 8, &rank);
  EXPECT_EQ(backbone.parameters(), 43590848 - 512);
}

// Sum of FLOP over an image of forward and backward, from the times that a
// device would take on which nothing else counts.
TEST(ArcfaceTorchTest, AStepHasTheKnownFlop) {
  Hardware hardware = Profile();
  hardware.set_float32_flops_per_second(1e6);  // Nothing else matters.
  hardware.clear_rates();
  hardware.mutable_efficiency()->set_float32(1);
  ArcfaceTorchRun run;
  run.classes = 8;
  run.batch_size = 16;
  double flops = 0;
  const Plan plan = ArcfaceTorchPlan(hardware, run);
  for (const Task& task : plan.tasks()) {
    if (task.device() == 0 && task.stream() == "compute" &&
        task.part() == "backbone") {
      flops += task.predicted_seconds() * 1e6;
    }
  }
  // 6.309 G multiply-adds forward, twice that backward, less the gradient of
  // the images: 3 x 64 x 9 x 112 x 112 multiply-adds.
  const double image = 2 * (3 * 6.309e9 - 3.0 * 64 * 9 * 112 * 112);
  EXPECT_NEAR(flops / 2 / image, 1, 1e-3);
}

TEST(ArcfaceTorchTest, RanksWaitForTheOneWithAllPositives) {
  ArcfaceTorchRun run;
  run.classes = 2'000'000;
  run.batch_size = 512;
  auto waiting = [&] {
    for (const auto& [phase, seconds] :
         SimulatedPhases(ArcfaceTorchPlan(Profile(), run))) {
      if (phase == "waiting") return seconds;
    }
    return -1.0;
  };
  EXPECT_GT(waiting(), 1e-3);
  const double skewed = ArcfaceTorchSamplesPerSecond(Profile(), run);
  run.all_labels_on_first = false;
  EXPECT_LT(waiting(), 1e-6);
  EXPECT_GT(ArcfaceTorchSamplesPerSecond(Profile(), run), skewed);
}

TEST(ArcfaceTorchTest, HalfPrecisionAndSamplingAreFaster) {
  ArcfaceTorchRun run;
  run.classes = 2'000'000;
  run.batch_size = 512;
  const double plain = ArcfaceTorchSamplesPerSecond(Profile(), run);
  run.half = true;
  const double half = ArcfaceTorchSamplesPerSecond(Profile(), run);
  run.sample_rate = 0.1;
  EXPECT_GT(half, plain);
  EXPECT_GT(ArcfaceTorchSamplesPerSecond(Profile(), run), half);
}

}  // namespace
}  // namespace facet::placement
