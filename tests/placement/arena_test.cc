// No plan needs more than 2% over what is alive at once, which nobody can beat:
// all networks, forward and backward, on 1 to 8 devices.

#include <string>

#include "benchmarks/compiled_model.h"
#include "gtest/gtest.h"

namespace facet::tests {
namespace {

class ArenaTest : public testing::TestWithParam<std::string> {};

TEST_P(ArenaTest, IsAtMostTwoPercentOverTheBound) {
  for (const auto precision :
       {placement::Precision::kFloat32, placement::Precision::kBFloat16}) {
    for (int devices : {1, 2, 3, 4, 8}) {
      const absl::StatusOr<placement::Plan> plan = benchmarks::CompileModel(
          {.network = GetParam(), .classes = 100'000, .precision = precision},
          benchmarks::EqualCpuCluster(devices));
      ASSERT_TRUE(plan.ok()) << plan.status();
      for (const placement::Device& device : plan->devices()) {
        ASSERT_GT(device.live_bytes(), device.persistent_bytes());
        const double ratio = static_cast<double>(device.arena_bytes()) /
                             static_cast<double>(device.live_bytes());
        EXPECT_GE(ratio, 1);
        EXPECT_LE(ratio, 1.02) << device.name() << " of " << devices;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, ArenaTest,
                         testing::Values("r18", "r34", "r50", "r100", "r200"),
                         [](const auto& network) { return network.param; });

}  // namespace
}  // namespace facet::tests
