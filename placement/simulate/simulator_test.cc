#include "placement/simulate/simulator.h"

#include "gtest/gtest.h"
#include "placement/plan/small_plan.h"

namespace facet::placement {
namespace {

TEST(SimulatorTest, TasksWaitForWhatTheyReadAndForTheirStream) {
  Plan plan = SmallPlan();
  for (Task& task : *plan.mutable_tasks()) task.set_predicted_seconds(1);
  const StepTimes times = SimulateSteadyStep(plan);
  auto at = [&](const char* name, int device) {
    return times.tasks[TaskNamed(plan, name, device)];
  };
  for (int d : {0, 1}) {
    EXPECT_DOUBLE_EQ(at("y", d).end, at("z", d).start);
    EXPECT_GE(at("h", d).start, at("z", d).end);
    EXPECT_GE(at("update", d).start, at("g", d).end);
    // Data is read while the step before computes.
    EXPECT_LE(at("x", d).start, 0);
    EXPECT_DOUBLE_EQ(at("x", d).end - at("x", d).start, 1);
  }
  // What runs once takes no part.
  EXPECT_EQ(at("w", 0).end, 0);
}

TEST(SimulatorTest, ACollectiveWaitsForItsSlowestMember) {
  Plan plan = SmallPlan();
  for (Task& task : *plan.mutable_tasks()) task.set_predicted_seconds(1);
  const double even = SimulateSteadyStep(plan).seconds;
  plan.mutable_tasks(TaskNamed(plan, "z", 1))->set_predicted_seconds(6);
  const StepTimes times = SimulateSteadyStep(plan);
  const TaskTime slow = times.tasks[TaskNamed(plan, "z", 1)];
  const TaskTime first = times.tasks[TaskNamed(plan, "g", 0)];
  EXPECT_DOUBLE_EQ(first.start, slow.end);
  EXPECT_DOUBLE_EQ(first.start, times.tasks[TaskNamed(plan, "g", 1)].start);
  EXPECT_DOUBLE_EQ(times.seconds, even + 5);
}

}  // namespace
}  // namespace facet::placement
