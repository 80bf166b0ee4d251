#include "placement/passes/order_tasks.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "placement/passes/random_graph.h"

namespace facet::placement {
namespace {

// One device's tasks, by hand.
class Tasks {
 public:
  int Reg(int64_t floats, bool persistent = false) {
    LocalRegister reg;
    reg.slice.shape = {floats};
    reg.slice.global_shape = {floats};
    reg.slice.offset = {0};
    reg.persistent = persistent;
    graph.registers.push_back(reg);
    return static_cast<int>(graph.registers.size()) - 1;
  }
  LocalTask* Add(const std::string& name, std::vector<int> inputs,
                 std::vector<int> outputs, double seconds = 1) {
    LocalTask task;
    task.name = name;
    task.inputs = inputs;
    task.outputs = outputs;
    task.predicted_seconds = seconds;
    graph.tasks.push_back(task);
    return &graph.tasks.back();
  }
  // Names in the chosen order, "a b c".
  std::string Order() const {
    const auto ordered = OrderTasks(graph);
    if (!ordered.ok()) return ordered.status().ToString();
    std::string names;
    for (const LocalTask& task : ordered->tasks) {
      names += (names.empty() ? "" : " ") + task.name;
    }
    return names;
  }
  TaskGraph graph;
};

TEST(OrderTasks, FreesBeforeItAllocates) {
  Tasks t;
  const int big = t.Reg(1000), small = t.Reg(1), next = t.Reg(1000),
            sum = t.Reg(1);
  t.Add("big", {}, {big});
  t.Add("next", {}, {next});
  t.Add("shrink", {big}, {small});
  t.Add("sum", {next, small}, {sum});
  EXPECT_EQ(t.Order(), "big shrink next sum");
}

TEST(OrderTasks, KeepsTheOrderOfTheGraphOtherwise) {
  Tasks t;
  const int a = t.Reg(8), b = t.Reg(8), c = t.Reg(8);
  t.Add("a", {}, {a});
  t.Add("b", {}, {b});
  t.Add("c", {a, b}, {c});
  EXPECT_EQ(t.Order(), "a b c");
}

TEST(OrderTasks, UpdatesAfterReaders) {
  Tasks t;
  const int w = t.Reg(100, true), y = t.Reg(1), g = t.Reg(1);
  t.Add("w", {}, {w})->once = true;
  t.Add("g", {}, {g});
  t.Add("update", {w, g}, {})->mutates = {0};
  t.Add("y", {w}, {y});
  EXPECT_EQ(t.Order(), "w g y update");
}

TEST(OrderTasks, CollectivesRunBesideOtherWork) {
  Tasks t;
  const int w = t.Reg(100, true), g = t.Reg(100), sum = t.Reg(100);
  t.Add("w", {}, {w})->once = true;
  t.Add("g", {}, {g});
  t.Add("reduce", {g}, {sum}, 2.5)->stream = ops::StreamKind::kCommunication;
  t.Add("update", {w, sum}, {})->mutates = {0};
  std::vector<int> chain = {t.Reg(10)};
  t.Add("c0", {}, {chain[0]});
  for (int i = 1; i < 5; ++i) {
    chain.push_back(t.Reg(10));
    t.Add(absl::StrCat("c", i), {chain[i - 1]}, {chain[i]});
  }
  // The all-reduce starts as soon as it can; the update, which would free
  // memory, waits until it can be done, three tasks later.
  EXPECT_EQ(t.Order(), "w g reduce c0 c1 c2 update c3 c4");
}

// Though it would free memory, or a stream has time for it.
TEST(OrderTasks, WhatIsMadeAgainComesBeforeItsReader) {
  for (const bool gathered : {false, true}) {
    Tasks t;
    const int x = t.Reg(100), y = t.Reg(50), end = t.Reg(1);
    t.Add("x", {}, {x});
    std::vector<int> chain = {t.Reg(10)};
    t.Add("c0", {}, {chain[0]});
    for (int i = 1; i < 5; ++i) {
      chain.push_back(t.Reg(10));
      t.Add(absl::StrCat("c", i), {chain[i - 1]}, {chain[i]});
    }
    if (gathered) {
      t.Add("y", {x}, {y}, 1.5)->stream = ops::StreamKind::kCommunication;
    } else {
      t.Add("y", {x}, {y});
    }
    t.graph.tasks.back().origin.again = true;
    t.Add("end", {y, chain[4]}, {end});
    EXPECT_EQ(t.Order(),
              gathered ? "x c0 c1 c2 y c3 c4 end" : "x c0 c1 c2 c3 c4 y end");
  }
}

// Joined tasks come last in a graph, and who needs them before.
TEST(OrderTasks, WhatIsMadeAgainDoesNotWaitForWhoNeedsIt) {
  Tasks t;
  const int x = t.Reg(100), y = t.Reg(50), joined = t.Reg(1), end = t.Reg(1);
  t.Add("x", {}, {x});
  t.Add("y", {x}, {y})->origin.again = true;
  t.Add("end", {joined}, {end});
  t.Add("joined", {y}, {joined});
  EXPECT_EQ(t.Order(), "x y joined end");
}

TEST(OrderTasks, CycleIsAnError) {
  Tasks t;
  const int a = t.Reg(1), b = t.Reg(1);
  t.Add("a", {b}, {a});
  t.Add("b", {a}, {b});
  EXPECT_TRUE(absl::StrContains(t.Order(), "a waits for itself"));
}

TEST(OrderTasks, AllDevicesAlikeAndCollectivesInOneOrder) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const auto split =
        SplitPerDevice(RandomGraph(seed, 3, 40), TestCluster(3), 2, FindAnyOp);
    ASSERT_TRUE(split.ok()) << split.status();
    const auto ordered = OrderTasks(*split);
    ASSERT_TRUE(ordered.ok()) << ordered.status();
    EXPECT_EQ(ordered->tasks.size(), split->tasks.size());
    std::map<int, std::vector<std::string>> collectives;  // By device.
    std::vector<bool> written(split->registers.size(), false);
    for (const LocalTask& task : ordered->tasks) {
      for (int r : task.inputs) EXPECT_TRUE(written[r]) << task.name;
      for (int r : task.outputs) written[r] = true;
      if (task.op.empty()) collectives[task.device].push_back(task.name);
    }
    EXPECT_EQ(collectives[0], collectives[1]);
    EXPECT_EQ(collectives[0], collectives[2]);
  }
}

}  // namespace
}  // namespace facet::placement
