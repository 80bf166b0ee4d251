#include "placement/passes/make_plan.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "placement/passes/choose_kernels.h"
#include "placement/passes/order_tasks.h"
#include "placement/passes/random_graph.h"
#include "placement/plan/random_execution.h"
#include "placement/plan/validate.h"

namespace facet::placement {
namespace {

Plan PlanOf(const LaidOutGraph& graph, const Cluster& cluster, int credits) {
  auto split = SplitPerDevice(graph, cluster, credits, FindAnyOp);
  EXPECT_TRUE(split.ok()) << split.status();
  auto chosen = ChooseKernels(*std::move(split), cluster, {}, {}, FindAnyOp);
  EXPECT_TRUE(chosen.ok()) << chosen.status();
  auto ordered = OrderTasks(*std::move(chosen));
  EXPECT_TRUE(ordered.ok()) << ordered.status();
  auto memory = PlanMemory(*ordered, cluster.num_devices());
  EXPECT_TRUE(memory.ok()) << memory.status();
  return MakePlan(graph, *ordered, *memory, cluster, FindAnyOp);
}

// The passes of this folder together: their plans are valid, stay within the
// lower and upper bounds, and survive any order of execution.
TEST(MakePlan, PlansOfRandomGraphsAreSafe) {
  const std::vector<ops::Mesh> meshes = {{{1}},    {{2}},    {{3}},   {{4}},
                                         {{2, 2}}, {{2, 3}}, {{3, 2}}};
  int collectives = 0, waits = 0, in_place = 0;
  size_t most_groups = 0;
  for (uint64_t seed = 0; seed < 120; ++seed) {
    const Cluster cluster = TestCluster(meshes[seed % meshes.size()]);
    const LaidOutGraph graph = RandomGraph(seed, cluster, 5 + seed % 40);
    const Plan plan = PlanOf(graph, cluster, 1 + seed % 3);
    const absl::Status valid = ValidatePlan(plan, FindAnyOp);
    ASSERT_TRUE(valid.ok()) << "seed " << seed << ": " << valid;
    for (uint64_t run = 0; run < 3; ++run) {
      const absl::Status ran = ExecuteRandomly(plan, 3, seed * 10 + run);
      ASSERT_TRUE(ran.ok()) << "seed " << seed << ": " << ran;
    }
    most_groups = std::max<size_t>(most_groups, plan.groups_size());
    for (const Device& device : plan.devices()) {
      EXPECT_LE(device.live_bytes(), device.arena_bytes());
    }
    for (const Task& task : plan.tasks()) {
      collectives += task.has_collective();
      waits += task.waits_size();
      in_place += task.in_place_size();
    }
    EXPECT_EQ(plan.SerializeAsString(),
              PlanOf(graph, cluster, 1 + seed % 3).SerializeAsString());
    EXPECT_GT(plan.predicted_step_seconds(), 0);
  }
  // The graphs were not trivial.
  EXPECT_GT(collectives, 1000);
  EXPECT_GT(waits, 100);
  EXPECT_GT(in_place, 100);
  EXPECT_EQ(most_groups, 5u);  // Rows and columns of 2x3.
}

TEST(MakePlan, WritesDownWhatWasDecided) {
  const LaidOutGraph graph = RandomGraph(3, 2, 10);
  const Cluster cluster = TestCluster(2);
  const Plan plan = PlanOf(graph, cluster, 2);
  EXPECT_EQ(plan.version(), kPlanVersion);
  EXPECT_EQ(plan.name(), "random");
  ASSERT_EQ(plan.devices_size(), 2);
  EXPECT_EQ(plan.devices(1).name(), "cpu:1");
  ASSERT_EQ(plan.tensors_size(), static_cast<int>(graph.graph.tensors.size()));
  int variables = 0;
  for (int t = 0; t < plan.tensors_size(); ++t) {
    EXPECT_EQ(plan.tensors(t).sbp(0), graph.sbp[t].ToString());
    variables += plan.tensors(t).variable();
  }
  EXPECT_GT(variables, 0);
}

}  // namespace
}  // namespace facet::placement
