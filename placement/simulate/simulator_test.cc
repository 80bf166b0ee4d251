#include "placement/simulate/simulator.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "placement/plan/firing.h"
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

// The step is the mean of those with and those without.
TEST(SimulatorTest, TasksOfEveryThirdStepTakeTimeInTheThird) {
  Plan plan = SmallPlan();
  for (Task& task : *plan.mutable_tasks()) task.set_predicted_seconds(1);
  const double without = [&] {
    Plan less = plan;
    for (Task& task : *less.mutable_tasks()) {
      if (task.name() == "update") task.set_predicted_seconds(0);
    }
    return SimulateSteadyStep(less).seconds;
  }();
  const double with = SimulateSteadyStep(plan).seconds;
  ASSERT_GT(with, without + 0.5);
  for (Task& task : *plan.mutable_tasks()) {
    if (task.name() == "update") task.set_every(3);
  }
  EXPECT_DOUBLE_EQ(SimulateSteadyStep(plan).seconds, (with + 2 * without) / 3);
  // However many steps make a round, few are simulated.
  for (Task& task : *plan.mutable_tasks()) {
    if (task.name() == "update") task.set_every(1 << 30);
  }
  EXPECT_NEAR(SimulateSteadyStep(plan).seconds, without, 1e-6);
  double of_optimizer = 0;
  for (const auto& [phase, seconds] : SimulatedPhases(plan)) {
    if (phase == "optimizer") of_optimizer = seconds;
  }
  EXPECT_LT(of_optimizer, 1e-6);
  for (Task& task : *plan.mutable_tasks()) {
    if (task.name() == "update") task.set_every(3);
  }
  const Simulation simulation = Simulate(plan, 6);
  for (const Firing& f : simulation.firings) {
    const bool works = plan.tasks(f.task).every() <= 1 || f.step % 3 == 2;
    EXPECT_DOUBLE_EQ(f.end - f.start, works ? 1 : 0) << f.step;
  }
}

Plan PlanWithTimes() {
  Plan plan = SmallPlan();
  for (int t = 0; t < plan.tasks_size(); ++t) {
    plan.mutable_tasks(t)->set_predicted_seconds(1 + t % 5 * 0.7);
  }
  return plan;
}

// Nothing starts before it may, and nothing is late: each firing starts at the
// very moment when the last thing that it waits for ends, or at 0.
TEST(SimulatorTest, EveryFiringStartsAsSoonAsTheRuleAllows) {
  constexpr int64_t kSteps = 5;
  const Plan plan = PlanWithTimes();
  const Simulation simulation = Simulate(plan, kSteps);
  std::map<std::pair<int, int64_t>, Firing> of;
  for (const Firing& f : simulation.firings) {
    EXPECT_TRUE(of.emplace(std::make_pair(f.task, f.step), f).second);
    EXPECT_DOUBLE_EQ(f.end, f.start + plan.tasks(f.task).predicted_seconds());
  }
  // Seven tasks of a device, w left out.
  EXPECT_EQ(of.size(), 2 * 7 * kSteps);
  std::map<std::pair<int, int64_t>, double> ready;
  for (const FiringEdge& edge : FiringEdges(plan)) {
    for (int64_t step = edge.tokens; step < kSteps; ++step) {
      double& last = ready[{edge.to, step}];
      last = std::max(last, of.at({edge.from, step - edge.tokens}).end);
    }
  }
  for (const auto& [key, firing] : of) {
    EXPECT_DOUBLE_EQ(firing.ready, ready[key]);
    double start = firing.ready;
    if (plan.tasks(firing.task).has_collective()) {
      for (int d : {0, 1}) {
        start = std::max(start, ready[{TaskNamed(plan, "g", d), key.second}]);
      }
    }
    EXPECT_DOUBLE_EQ(firing.start, start);
  }
}

TEST(SimulatorTest, FiringsAreInOrderAndStepsEndOneAfterTheOther) {
  const Simulation simulation = Simulate(PlanWithTimes(), 4);
  EXPECT_TRUE(std::is_sorted(
      simulation.firings.begin(), simulation.firings.end(),
      [](const Firing& a, const Firing& b) { return a.start < b.start; }));
  EXPECT_TRUE(
      std::is_sorted(simulation.step_ends.begin(), simulation.step_ends.end()));
  EXPECT_GT(simulation.step_ends[0], 0);
}

TEST(SimulatorTest, WaitingIsAPhaseOfItsOwn) {
  Plan plan = SmallPlan();
  for (Task& task : *plan.mutable_tasks()) task.set_predicted_seconds(1);
  plan.mutable_tasks(TaskNamed(plan, "z", 1))->set_predicted_seconds(6);
  const auto list = SimulatedPhases(plan);
  const std::map<std::string, double> phases(list.begin(), list.end());
  // The first device waits 5 s for the second: half of it in the mean.
  EXPECT_DOUBLE_EQ(phases.at("waiting"), 2.5);
  EXPECT_DOUBLE_EQ(phases.at("communication"), 1);
  EXPECT_DOUBLE_EQ(phases.at("optimizer"), 1);
}

// By hand: w and the two slots of x always, 192 bytes; with them y and its
// workspace, 192, or z, g and h, 64 each.
TEST(SimulatorTest, PeakBytesCountsWhatIsAlive) {
  Plan plan = SmallPlan();
  for (Task& task : *plan.mutable_tasks()) task.set_predicted_seconds(1);
  for (int d : {0, 1}) {
    // Done before the next step's y begins: else h would be alive with it.
    plan.mutable_tasks(TaskNamed(plan, "report", d))
        ->set_predicted_seconds(0.5);
  }
  EXPECT_EQ(PeakBytes(plan, Simulate(plan, 3).firings),
            std::vector<int64_t>({384, 384}));
  Plan late = plan;
  for (int d : {0, 1}) {
    late.mutable_tasks(TaskNamed(late, "report", d))->set_predicted_seconds(3);
  }
  EXPECT_EQ(PeakBytes(late, Simulate(late, 3).firings),
            std::vector<int64_t>({448, 448}));
  Plan less = plan;
  for (int d : {0, 1}) {
    less.mutable_tasks(TaskNamed(less, "y", d))->set_workspace_bytes(0);
    // Nobody reads h: it goes with its writer.
    less.mutable_tasks(TaskNamed(less, "report", d))->clear_inputs();
    less.mutable_tasks(TaskNamed(less, "h", d))->set_predicted_seconds(0);
  }
  EXPECT_EQ(PeakBytes(less, Simulate(less, 3).firings),
            std::vector<int64_t>({320, 320}));
}

}  // namespace
}  // namespace facet::placement
