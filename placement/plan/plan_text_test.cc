#include "placement/plan/plan_text.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "placement/plan/memory_kinds.h"
#include "placement/plan/small_plan.h"

namespace facet::placement {
namespace {

// What works in every fourth step counts by a quarter.
TEST(PlacementTable, CollectivesCountPerStep) {
  Plan plan = SmallPlan();
  for (Task& task : *plan.mutable_tasks()) {
    if (task.has_collective()) task.mutable_collective()->set_bytes(8 << 20);
  }
  EXPECT_TRUE(
      absl::StrContains(PlacementTable(plan), "1                8.000\n"));
  for (Task& task : *plan.mutable_tasks()) {
    if (task.has_collective()) task.set_every(4);
  }
  EXPECT_TRUE(
      absl::StrContains(PlacementTable(plan), "1                2.000\n"));
  EXPECT_TRUE(absl::StrContains(PlanText(plan), " every 4"));
}

TEST(PlacementTable, SaysWhereThingsAre) {
  const std::string table = PlacementTable(SmallPlan());
  for (const char* part :
       {"small: 2 x cpu of 1 cores", "layer1", "[16] -> [16]", "P(sum) -> B",
        "all-reduce", "backbone", "cpu:0 ... cpu:1"}) {
    EXPECT_TRUE(absl::StrContains(table, part)) << part << "\n" << table;
  }
  for (absl::string_view line : absl::StrSplit(table, '\n')) {
    EXPECT_LE(line.size(), 100u) << std::string(line);
  }
}

TEST(MemoryKinds, DevicesThatNeedTheSameShareALine) {
  Plan plan = SmallPlan();
  auto names = [&plan] {
    std::vector<std::string> names;
    for (const MemoryKind& kind : MemoryKinds(plan)) names.push_back(kind.name);
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(), Names({"cpu:0 ... cpu:1"}));
  Device* third = plan.add_devices();
  *third = plan.devices(0);
  third->set_name("cpu:2");
  plan.mutable_devices(1)->set_live_bytes(1);
  EXPECT_EQ(names(), Names({"cpu:0 and 1 more", "cpu:1"}));
  EXPECT_EQ(MemoryKinds(plan)[1].device, 1);
}

TEST(PlanText, ListsTasksWithRegisters) {
  const std::string text = PlanText(SmallPlan());
  for (const char* part : {"device 1 cpu:1: 8 tasks",
                           "  2 compute y = work(%1, %0) workspace @256+128\n"
                           "      %2 y: float32[16] nchw @192+64 P(sum)\n",
                           "  3 compute z = work(%2) in place of %2\n",
                           "ALL_REDUCE(%3) SUM group 0 number 0 P(sum) -> B",
                           "update(%0!, %4)", "once w = state() shape=[16]",
                           "%1 x: float32[16] nchw @64+64 x2 P(sum)"}) {
    EXPECT_TRUE(absl::StrContains(text, part)) << part << "\n" << text;
  }
}

}  // namespace
}  // namespace facet::placement
