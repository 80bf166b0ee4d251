#include "placement/passes/group_tasks.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/op_table.h"

namespace facet::placement {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kSmall = 100;

// Tasks by hand, on two devices.
class Tasks {
 public:
  // One on each device; returns its index among the units.
  int Add(const std::string& op, std::vector<int> inputs,
          std::vector<int> outputs) {
    for (int d = 0; d < 2; ++d) {
      LocalTask task;
      task.name = absl::StrCat("task", units_);
      task.op = op;
      task.device = d;
      task.rank = d;
      task.num_ranks = 2;
      task.predicted_seconds = 3;
      for (int r : inputs) task.inputs.push_back(2 * r + d);
      for (int r : outputs) task.outputs.push_back(2 * r + d);
      graph.tasks.push_back(task);
    }
    return units_++;
  }
  // Of both devices.
  int Register(int64_t bytes, bool persistent = false) {
    for (int d = 0; d < 2; ++d) {
      LocalRegister reg;
      reg.device = d;
      reg.persistent = persistent;
      reg.slice.shape = reg.slice.global_shape = {bytes / 4};
      reg.slice.offset = {0};
      graph.registers.push_back(reg);
    }
    return registers_++;
  }
  // A gradient that a task of its own makes, and what adds up its rows.
  int Sum(int64_t bytes) {
    const int gradient = Register(bytes), sum = Register(4);
    Add("add", {}, {gradient});
    return Add("reduce_sum", {gradient}, {sum});
  }
  LocalTask& task(int unit, int device) {
    return graph.tasks[2 * unit + device];
  }
  std::vector<std::vector<int>> Groups() const {
    return FindGroups(graph, FindTaskUnits(graph), kSmall, ops::FindOp);
  }

  TaskGraph graph;

 private:
  int units_ = 0, registers_ = 0;
};

TEST(GroupTasks, SmallTasksOfOneOp) {
  Tasks tasks;
  const int a = tasks.Sum(40), b = tasks.Sum(40), c = tasks.Sum(kSmall);
  EXPECT_THAT(tasks.Groups(), ElementsAre(ElementsAre(a, b, c)));
}

TEST(GroupTasks, OnlyWhatWorksInTheSameSteps) {
  Tasks tasks;
  const int a = tasks.Sum(40), b = tasks.Sum(40), c = tasks.Sum(40);
  for (int d = 0; d < 2; ++d) tasks.task(b, d).origin.every = 3;
  EXPECT_THAT(tasks.Groups(), ElementsAre(ElementsAre(a, c)));
}

TEST(GroupTasks, NothingLargeLivesLonger) {
  Tasks tasks;
  const int a = tasks.Sum(40), large = tasks.Sum(1000), b = tasks.Sum(40);
  EXPECT_THAT(tasks.Groups(), ElementsAre(ElementsAre(a, b)));
  // It costs nothing where somebody else reads it later still,
  tasks.Add("add", {tasks.task(large, 0).inputs[0] / 2}, {});
  EXPECT_THAT(tasks.Groups(), ElementsAre(ElementsAre(a, large, b)));
}

TEST(GroupTasks, TheLastThatIsReadyMayBeLarge) {
  Tasks tasks;
  const int a = tasks.Sum(40), b = tasks.Sum(40), large = tasks.Sum(1000);
  EXPECT_THAT(tasks.Groups(), ElementsAre(ElementsAre(a, b, large)));
}

// All wait for the same: the updates for the factor that clips gradients.
TEST(GroupTasks, LargeOnesThatAreReadyAtOnce) {
  Tasks tasks;
  const int factor = tasks.Register(4);
  std::vector<int> gradients, updates;
  for (int i = 0; i < 3; ++i) {
    gradients.push_back(tasks.Register(1000));
    tasks.Add("add", {}, {gradients.back()});
  }
  tasks.Add("add", gradients, {factor});
  for (int gradient : gradients) {
    const int weight = tasks.Register(1000, /*persistent=*/true);
    const int momentum = tasks.Register(1000, /*persistent=*/true);
    updates.push_back(
        tasks.Add("sgd_update", {weight, momentum, gradient, factor}, {}));
    for (int d = 0; d < 2; ++d) {
      tasks.task(updates.back(), d).mutates = {0, 1};
    }
  }
  EXPECT_THAT(tasks.Groups(), ElementsAre(updates));
}

TEST(GroupTasks, WhatIsSentIsNotHeldBack) {
  Tasks tasks;
  const int a = tasks.Sum(40), sent = tasks.Sum(40), b = tasks.Sum(40);
  const int send = tasks.Add("add", {tasks.task(sent, 0).outputs[0] / 2}, {});
  for (int d = 0; d < 2; ++d) {
    tasks.task(send, d).op = "";
    tasks.task(send, d).stream = ops::StreamKind::kCommunication;
  }
  EXPECT_THAT(tasks.Groups(), ElementsAre(ElementsAre(a, b)));
}

TEST(GroupTasks, OnlyWhatIsAlike) {
  Tasks tasks;
  const int a = tasks.Sum(40), b = tasks.Sum(40), c = tasks.Sum(40);
  for (int d = 0; d < 2; ++d) {
    tasks.task(b, d).attributes.Set("axis", int64_t{1});
  }
  EXPECT_THAT(tasks.Groups(), ElementsAre(ElementsAre(a, c)));
  for (int d = 0; d < 2; ++d) tasks.task(c, d).origin.part = "head";
  EXPECT_THAT(tasks.Groups(), IsEmpty());
  // An op that may not.
  for (int i = 0; i < 2; ++i) tasks.Add("add", {}, {tasks.Register(4)});
  EXPECT_THAT(tasks.Groups(), IsEmpty());
}

TEST(GroupTasks, NoMemberNeedsAnother) {
  Tasks tasks;
  const int x = tasks.Register(40), y = tasks.Register(40);
  const int a = tasks.Add("reduce_sum", {tasks.Register(40)}, {x});
  const int b = tasks.Add("reduce_sum", {x}, {y});
  EXPECT_THAT(tasks.Groups(), IsEmpty());
  const int c =
      tasks.Add("reduce_sum", {tasks.Register(40)}, {tasks.Register(40)});
  const int d = tasks.Add("reduce_sum", {y}, {tasks.Register(40)});
  const int e = tasks.Add("reduce_sum", {x}, {tasks.Register(40)});
  EXPECT_THAT(tasks.Groups(),
              ElementsAre(ElementsAre(a, c), ElementsAre(b, e)));
  static_cast<void>(d);
}

// Each alone would do; together they would wait for each other.
TEST(GroupTasks, GroupsDoNotWaitForEachOther) {
  Tasks tasks;
  const int x = tasks.Register(40), y = tasks.Register(40);
  const int in = tasks.Register(40);
  const int sum1 = tasks.Add("reduce_sum", {in}, {x});
  tasks.Add("square_norm", {x}, {tasks.Register(4)});
  tasks.Add("square_norm", {in}, {y});
  const int sum2 = tasks.Add("reduce_sum", {y}, {tasks.Register(4)});
  EXPECT_THAT(tasks.Groups(), ElementsAre(ElementsAre(sum1, sum2)));
}

TEST(GroupTasks, TheTaskHasAllOperandsAndStartsOnce) {
  Tasks tasks;
  const int factor = tasks.Register(4);
  tasks.Add("add", {}, {factor});
  for (int i = 0; i < 2; ++i) {
    const int weight = tasks.Register(40, true),
              momentum = tasks.Register(40, true);
    const int unit = tasks.Add(
        "sgd_update", {weight, momentum, tasks.Register(40), factor}, {});
    for (int d = 0; d < 2; ++d) {
      tasks.task(unit, d).mutates = {0, 1};
      tasks.task(unit, d).workspace_bytes = 65;
    }
  }
  DeviceSpec device;
  device.launch_seconds = 1;
  const TaskGraph graph = GroupTasks(
      tasks.graph, UniformCluster(2, device, MeshAxis{}), ops::FindOp);
  ASSERT_EQ(graph.tasks.size(), 4u);
  const LocalTask& joined = graph.tasks[3];
  EXPECT_EQ(joined.device, 1);
  EXPECT_EQ(joined.parts, 2);
  EXPECT_THAT(joined.inputs, ElementsAre(3, 5, 7, 1, 9, 11, 13, 1));
  EXPECT_THAT(joined.mutates, ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(joined.outputs, IsEmpty());
  EXPECT_EQ(joined.workspace_bytes, 256);
  EXPECT_EQ(joined.predicted_seconds, 5);
}

}  // namespace
}  // namespace facet::placement
