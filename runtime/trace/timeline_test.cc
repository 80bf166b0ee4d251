#include "runtime/trace/timeline.h"

#include <fstream>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::runtime {
namespace {

using testing::HasSubstr;

placement::Plan TwoLanePlan() {
  placement::Plan plan;
  plan.add_devices()->set_name("cpu:0");
  for (const char* stream : {"compute", "communication", "compute"}) {
    placement::Task* task = plan.add_tasks();
    task->set_name(std::string("task \"") + stream + "\"");
    task->set_stream(stream);
    task->set_op("add");
    task->set_phase("forward");
  }
  return plan;
}

TEST(TimelineTest, KeepsTheFirstStepsOfEveryLane) {
  Timeline timeline(TwoLanePlan(), /*steps=*/2);
  EXPECT_EQ(timeline.LaneOfTask(0), timeline.LaneOfTask(2));
  EXPECT_NE(timeline.LaneOfTask(0), timeline.LaneOfTask(1));
  for (int64_t step = 0; step < 3; ++step) {
    for (int task = 0; task < 3; ++task) {
      timeline.Record({task, step, step * 100, step * 100 + 50});
    }
  }
  EXPECT_EQ(timeline.lanes()[timeline.LaneOfTask(0)].size(), 4u);
  EXPECT_EQ(timeline.lanes()[timeline.LaneOfTask(1)].size(), 2u);
  EXPECT_EQ(timeline.dropped(), 3);
  timeline.Clear();
  EXPECT_EQ(timeline.dropped(), 0);
  EXPECT_TRUE(timeline.lanes()[0].empty());
}

TEST(TimelineTest, WritesATraceInMicroseconds) {
  const placement::Plan plan = TwoLanePlan();
  Timeline timeline(plan, 1);
  timeline.Record({0, 0, 5'000'000, 7'500'000});
  timeline.Record({1, 0, 6'001'000, 6'002'000});
  const std::string path = testing::TempDir() + "/trace.json";
  ASSERT_TRUE(timeline.WriteTrace(plan, path).ok());
  std::ifstream file(path);
  const std::string trace(std::istreambuf_iterator<char>(file), {});
  EXPECT_THAT(trace, HasSubstr("\"name\":\"task \\\"compute\\\"\""));
  EXPECT_THAT(trace, HasSubstr("\"ts\":0.000,\"dur\":2500.000"));
  EXPECT_THAT(trace, HasSubstr("\"ts\":1001.000,\"dur\":1.000"));
  EXPECT_THAT(trace, HasSubstr("cpu:0"));
  EXPECT_FALSE(timeline.WriteTrace(plan, "/no/such/folder/t.json").ok());
}

}  // namespace
}  // namespace facet::runtime
