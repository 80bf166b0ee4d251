#include "placement/passes/plan_memory.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "placement/passes/order_tasks.h"
#include "placement/passes/random_graph.h"

namespace facet::placement {
namespace {

class Tasks {
 public:
  int Reg(int64_t bytes, bool persistent = false, int credits = 1) {
    LocalRegister reg;
    reg.device = device;
    reg.slice.shape = {bytes / 4};
    reg.slice.global_shape = reg.slice.shape;
    reg.slice.offset = {0};
    reg.persistent = persistent;
    reg.credits = credits;
    graph.registers.push_back(reg);
    return static_cast<int>(graph.registers.size()) - 1;
  }
  LocalTask* Add(std::vector<int> inputs, std::vector<int> outputs) {
    LocalTask task;
    task.name = absl::StrCat("t", graph.tasks.size());
    task.device = device;
    task.inputs = inputs;
    task.outputs = outputs;
    graph.tasks.push_back(task);
    return &graph.tasks.back();
  }
  MemoryPlan Plan(int devices = 1) const {
    auto plan = PlanMemory(graph, devices);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return *plan;
  }
  int device = 0;
  TaskGraph graph;
};

TEST(PlanMemory, VariablesFirstThenShared) {
  Tasks t;
  const int w = t.Reg(100, true), x = t.Reg(100, false, 2), a = t.Reg(64),
            b = t.Reg(64), c = t.Reg(64);
  t.Add({}, {w})->once = true;
  t.Add({}, {x})->stream = ops::StreamKind::kData;
  t.Add({x, w}, {a});
  t.Add({a}, {b});
  t.Add({b}, {c});
  t.Add({c}, {});
  const MemoryPlan plan = t.Plan();
  EXPECT_EQ(plan.register_offset[w], 0);
  EXPECT_EQ(plan.register_offset[x], 128);
  EXPECT_EQ(plan.slot_stride[x], 128);
  EXPECT_EQ(plan.devices[0].persistent_bytes, 128 + 2 * 128);
  // Two of a, b, c are alive at a time.
  EXPECT_EQ(plan.devices[0].arena_bytes, 384 + 128);
  EXPECT_EQ(plan.devices[0].live_bytes, 384 + 128);
  EXPECT_EQ(plan.register_offset[a], plan.register_offset[c]);
  EXPECT_TRUE(plan.waits.empty());  // The stream orders them.
}

TEST(PlanMemory, InPlaceOnlyOverTheLastUse) {
  Tasks t;
  const int a = t.Reg(64), b = t.Reg(64), c = t.Reg(64), d = t.Reg(128);
  t.Add({}, {a});
  t.Add({a}, {b})->in_place = {{0, 0}};             // a is read later: no.
  t.Add({b, a}, {c})->in_place = {{0, 0}, {1, 0}};  // b: yes.
  t.Add({c}, {d})->in_place = {{0, 0}};             // Another size: no.
  t.Add({d}, {});
  const MemoryPlan plan = t.Plan();
  EXPECT_TRUE(plan.in_place[1].empty());
  ASSERT_EQ(plan.in_place[2].size(), 1u);
  EXPECT_EQ(plan.in_place[2][0].input, 0);
  EXPECT_TRUE(plan.in_place[3].empty());
  EXPECT_EQ(plan.register_offset[b], plan.register_offset[c]);
  EXPECT_NE(plan.register_offset[a], plan.register_offset[b]);
}

TEST(PlanMemory, NotOverAVariableOrAnOperandThatIsReadTwice) {
  Tasks t;
  const int w = t.Reg(64, true), a = t.Reg(64), b = t.Reg(64);
  t.Add({}, {w})->once = true;
  t.Add({w}, {a})->in_place = {{0, 0}};
  t.Add({a, a}, {b})->in_place = {{0, 0}};  // Input 1 must stay whole.
  t.Add({b}, {});
  const MemoryPlan plan = t.Plan();
  EXPECT_TRUE(plan.in_place[1].empty());
  EXPECT_TRUE(plan.in_place[2].empty());
}

TEST(PlanMemory, WorkspacesLiveWithTheirTask) {
  Tasks t;
  const int a = t.Reg(64), b = t.Reg(64);
  t.Add({}, {a})->workspace_bytes = 1000;
  t.Add({a}, {b})->workspace_bytes = 1000;
  t.Add({b}, {});
  const MemoryPlan plan = t.Plan();
  EXPECT_EQ(plan.devices[0].arena_bytes, 128 + 1024);
  EXPECT_EQ(plan.devices[0].live_bytes, 128 + 1024);
}

TEST(PlanMemory, StreamsShareOnlyBehindWaits) {
  // A collective's output comes to lie where an unrelated activation was.
  Tasks t;
  const int a = t.Reg(64), b = t.Reg(64), x = t.Reg(1024), y = t.Reg(1024);
  t.Add({}, {a});
  t.Add({}, {x});
  t.Add({x}, {});  // The last reader of x.
  t.Add({a}, {y})->stream = ops::StreamKind::kCommunication;
  t.Add({y}, {b});
  t.Add({b}, {});
  const MemoryPlan plan = t.Plan();
  ASSERT_EQ(plan.register_offset[x], plan.register_offset[y]);
  bool waits = false;
  for (const MemoryWait& wait : plan.waits) {
    waits |= wait.task == 3 && wait.predecessor == 2 && wait.steps == 0;
  }
  EXPECT_TRUE(waits);
}

TEST(PlanMemory, DataStreamIsNotHeldUp) {
  Tasks t;
  const int x = t.Reg(64, false, 2), y = t.Reg(4096);
  LocalTask* source = t.Add({}, {x});
  source->stream = ops::StreamKind::kData;
  source->workspace_bytes = 4096;
  t.Add({x}, {y});
  t.Add({y}, {});
  for (const MemoryWait& wait : t.Plan().waits) EXPECT_NE(wait.task, 0);
}

TEST(PlanMemory, EqualDevicesGetEqualMemory) {
  Tasks t;
  for (t.device = 0; t.device < 3; ++t.device) {
    const int a = t.Reg(64), b = t.Reg(t.device == 2 ? 256 : 128);
    t.Add({}, {a});
    t.Add({a}, {b});
    t.Add({b}, {});
  }
  const MemoryPlan plan = t.Plan(3);
  EXPECT_EQ(plan.devices[0].arena_bytes, 192);
  EXPECT_EQ(plan.devices[1].arena_bytes, 192);
  EXPECT_EQ(plan.devices[2].arena_bytes, 320);
}

}  // namespace
}  // namespace facet::placement
