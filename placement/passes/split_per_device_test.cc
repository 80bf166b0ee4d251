#include "placement/passes/split_per_device.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "placement/passes/random_graph.h"

namespace facet::placement {
namespace {

// x = source S(0); y = work(x); g = boxing(y) to `to`; report(g).
LaidOutGraph Small(ops::Sbp from, ops::Sbp to) {
  LaidOutGraph graph;
  ops::GraphBuilder builder(&graph.graph, FindAnyOp);
  const auto w =
      builder.Add1("state", "w", {}, {{"shape", std::vector<int64_t>{5, 4}}});
  const auto x =
      builder.Add1("source", "x", {}, {{"shape", std::vector<int64_t>{5, 4}}});
  const auto y = builder.Add1("work", "y", {x});
  const auto g = builder.Add1("boxing", "g", {y});
  builder.Add1("report", "report", {g});
  builder.Add1("update", "update", {w, g});
  EXPECT_TRUE(builder.status().ok()) << builder.status();
  graph.sbp = {to, from, from, to};
  graph.layout.assign(4, ops::Layout::kRowMajor);
  return graph;
}

const LocalTask& Find(const TaskGraph& graph, const std::string& name,
                      int device) {
  for (const LocalTask& task : graph.tasks) {
    if (task.name == name && task.device == device) return task;
  }
  ADD_FAILURE() << "no task " << name;
  return graph.tasks[0];
}

TEST(SplitPerDevice, GivesEveryDeviceItsShare) {
  const auto graph = SplitPerDevice(Small(ops::Sbp::S(0), ops::Sbp::B()),
                                    TestCluster(2), 3, FindAnyOp);
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (int d = 0; d < 2; ++d) {
    const LocalTask& x = Find(*graph, "x", d);
    const LocalRegister& reg = graph->registers[x.outputs[0]];
    EXPECT_EQ(reg.slice.shape, (ops::Shape{d == 0 ? 3 : 2, 4}));
    EXPECT_EQ(reg.slice.offset, (ops::Shape{d == 0 ? 0 : 3, 0}));
    EXPECT_EQ(reg.slice.global_shape, (ops::Shape{5, 4}));
    EXPECT_EQ(reg.credits, 3);
    EXPECT_EQ(x.stream, ops::StreamKind::kData);
    EXPECT_EQ(x.rank, d);
    EXPECT_EQ(x.num_ranks, 2);
    const LocalTask& w = Find(*graph, "w", d);
    EXPECT_TRUE(w.once);
    EXPECT_TRUE(graph->registers[w.outputs[0]].persistent);
    EXPECT_EQ(Find(*graph, "update", d).mutates, std::vector<int>{0});
    const LocalTask& gather = Find(*graph, "g/all-gather", d);
    EXPECT_EQ(gather.collective.kind, CollectiveKind::kAllGather);
    EXPECT_EQ(gather.collective.counts, (std::vector<int64_t>{12, 8}));
    EXPECT_EQ(gather.collective.transition, "S(0) -> B");
    EXPECT_EQ(gather.stream, ops::StreamKind::kCommunication);
    EXPECT_TRUE(gather.op.empty());
    EXPECT_EQ(Find(*graph, "report", d).inputs, gather.outputs);
  }
  EXPECT_EQ(graph->groups, (std::vector<std::vector<int>>{{0, 1}}));
}

TEST(SplitPerDevice, PacksAroundACollectiveThatNeedsIt) {
  const auto graph = SplitPerDevice(Small(ops::Sbp::PSum(), ops::Sbp::S(1)),
                                    TestCluster(2), 2, FindAnyOp);
  ASSERT_TRUE(graph.ok()) << graph.status();
  const LocalTask& pack = Find(*graph, "g/pack_regions", 1);
  const LocalTask& scatter = Find(*graph, "g/reduce-scatter", 1);
  EXPECT_EQ(pack.op, "pack_regions");
  EXPECT_EQ(pack.outputs, scatter.inputs);
  const LocalRegister& packed = graph->registers[pack.outputs[0]];
  EXPECT_EQ(packed.tensor, ops::kNone);
  EXPECT_EQ(packed.slice.shape, (ops::Shape{20}));
  EXPECT_EQ(scatter.collective.reduce, ReduceKind::kSum);
}

TEST(SplitPerDevice, OneDeviceNeedsNoBoxing) {
  const auto graph = SplitPerDevice(Small(ops::Sbp::PSum(), ops::Sbp::B()),
                                    TestCluster(1), 2, FindAnyOp);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->tasks.size(), 5u);
  EXPECT_EQ(Find(*graph, "report", 0).inputs, Find(*graph, "y", 0).outputs);
  EXPECT_TRUE(graph->groups.empty());
}

TEST(SplitPerDevice, NamesAreUniquePerDevice) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto graph =
        SplitPerDevice(RandomGraph(seed, 3, 30), TestCluster(3), 2, FindAnyOp);
    ASSERT_TRUE(graph.ok()) << graph.status();
    std::set<std::pair<int, std::string>> names;
    for (const LocalTask& task : graph->tasks) {
      EXPECT_TRUE(names.emplace(task.device, task.name).second) << task.name;
      for (const auto* list : {&task.inputs, &task.outputs}) {
        for (int r : *list) {
          EXPECT_EQ(graph->registers[r].device, task.device);
        }
      }
    }
  }
}

TEST(SplitPerDevice, SaysWhatIsMissing) {
  const LaidOutGraph graph = Small(ops::Sbp::S(0), ops::Sbp::B());
  const auto status =
      SplitPerDevice(graph, TestCluster(2), 0, FindAnyOp).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "data_credits is 0"));
}

}  // namespace
}  // namespace facet::placement
