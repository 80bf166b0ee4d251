#include "placement/passes/choose_kernels.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/graph/shard.h"
#include "placement/kernel_timer.h"
#include "placement/passes/random_graph.h"

namespace facet::placement {
namespace {

using Times = std::vector<std::vector<double>>;

ops::Attributes Way(const std::string& way) {
  return {{"way", way}, {"kept", int64_t{7}}};
}

// "both" does what "work" and "sum" do, or what "work" and "shift" do, between
// which nobody else may read.
const std::vector<ops::OpDef>& Ops() {
  static const auto* const kOps = [] {
    auto* ops = new std::vector<ops::OpDef>(2);
    ops->front().name = "both";
    ops->front().joins = {"work", "sum", /*keeps_between=*/true};
    ops->back().name = "both";
    ops->back().joins = {"work", "shift", /*keeps_between=*/false};
    return ops;
  }();
  return *kOps;
}

const ops::OpDef* FindOp(absl::string_view name) {
  return FindAnyOp(name == "both" || name == "sum" || name == "shift" ? "work"
                                                                      : name);
}

// Kernels of "work" with a workspace that says which way they go: of shares of
// 3 rows and more "plain", "tall", "odd"; of smaller ones "odd", "plain".
ops::KernelLibrary Library() {
  static const ops::KernelDef* const kWork = [] {
    auto* def = new ops::KernelDef;
    def->alternatives = [](const ops::KernelSpec& spec) {
      if (spec.attributes.String("way") != "auto") {
        return std::vector<ops::Attributes>{spec.attributes};
      }
      // A share is all that there is.
      EXPECT_EQ(spec.num_ranks, 1);
      EXPECT_EQ(spec.inputs[0].shape, spec.inputs[0].global_shape);
      if (spec.inputs[0].shape[0] < 3) {
        return std::vector<ops::Attributes>{Way("odd"), Way("plain")};
      }
      return std::vector<ops::Attributes>{Way("plain"), Way("tall"),
                                          Way("odd")};
    };
    def->workspace_bytes =
        [](const ops::KernelSpec& spec) -> absl::StatusOr<int64_t> {
      return 100 * static_cast<int64_t>(spec.attributes.String("way").size());
    };
    return def;
  }();
  static const ops::KernelDef* const kBoth = [] {
    auto* def = new ops::KernelDef(*kWork);
    def->alternatives = [](const ops::KernelSpec& spec) {
      ops::Attributes joined = spec.attributes;
      joined.Set("way", std::string("joined"));
      return std::vector<ops::Attributes>{spec.attributes, joined};
    };
    return def;
  }();
  static const ops::KernelDef* const kPlain = new ops::KernelDef;
  return {"test",
          [](absl::string_view op) -> const ops::KernelDef* {
            if (op == "report") return nullptr;
            return op == "work" ? kWork : op == "both" ? kBoth : kPlain;
          },
          [](ops::DataType) { return ops::Layout::kRowMajor; }};
}

// Answers in turn; notes what it was asked.
class FakeTimer : public KernelTimer {
 public:
  explicit FakeTimer(Times answer) : answer_(std::move(answer)) {}
  Times Seconds(const std::vector<KernelChoice>& choices) override {
    asked.insert(asked.end(), choices.begin(), choices.end());
    return answer_;
  }
  std::vector<KernelChoice> asked;

 private:
  const Times answer_;
};

class ChooseKernelsTest : public testing::Test {
 protected:
  // A node of "work" per entry of `rows`, of [rows, 4] elements over all
  // devices of the cluster together.
  static TaskGraph Nodes(const Cluster& cluster, std::vector<int64_t> rows,
                         const std::string& way = "auto") {
    TaskGraph graph;
    for (size_t n = 0; n < rows.size(); ++n) {
      for (int d = 0; d < cluster.num_devices(); ++d) {
        LocalTask task;
        task.name = absl::StrCat("node", n);
        task.node = static_cast<int>(n);
        task.op = "work";
        task.device = d;
        task.rank = d;
        task.num_ranks = cluster.num_devices();
        task.attributes = Way(way);
        const ops::Range range =
            ops::ShardRange(rows[n], cluster.num_devices(), d);
        for (auto* list : {&task.inputs, &task.outputs}) {
          LocalRegister reg;
          reg.device = d;
          reg.slice = {ops::DataType::kFloat32,
                       ops::Layout::kRowMajor,
                       {range.size(), 4},
                       {rows[n], 4},
                       {range.begin, 0}};
          list->push_back(static_cast<int>(graph.registers.size()));
          graph.registers.push_back(reg);
        }
        graph.tasks.push_back(task);
      }
    }
    return graph;
  }
  Cluster Devices(int count) {
    DeviceSpec device;
    device.cores = 3;
    Cluster cluster = UniformCluster(count, device, {});
    cluster.kernels = &library_;
    return cluster;
  }
  // What each task takes.
  static std::vector<std::string> Ways(const TaskGraph& graph,
                                       const Cluster& cluster,
                                       const ops::Attributes& preferred = {}) {
    const auto chosen = ChooseKernels(graph, cluster, preferred, Ops(), FindOp);
    EXPECT_TRUE(chosen.ok()) << chosen.status();
    std::vector<std::string> ways;
    for (const LocalTask& task : chosen->tasks) {
      ways.push_back(task.attributes.String("way"));
      EXPECT_EQ(task.attributes.Int("kept"), 7);
      // Of the kernel that was chosen.
      EXPECT_EQ(task.workspace_bytes,
                static_cast<int64_t>(100 * ways.back().size()));
      EXPECT_GT(task.predicted_seconds, 0);
    }
    return ways;
  }

  const ops::KernelLibrary library_ = Library();
};

using Names = std::vector<std::string>;

TEST_F(ChooseKernelsTest, WithoutATimerTheFirst) {
  EXPECT_EQ(Ways(Nodes(Devices(2), {6, 2}), Devices(2)),
            (Names{"plain", "plain", "odd", "odd"}));
}

TEST_F(ChooseKernelsTest, TheFastest) {
  FakeTimer timer({{3, 1, 2}, {2, 3, 1}, {1, 2}});
  Cluster cluster = Devices(1);
  cluster.kernel_timer = &timer;
  EXPECT_EQ(Ways(Nodes(cluster, {5, 6, 2}), cluster),
            (Names{"tall", "odd", "odd"}));
}

TEST_F(ChooseKernelsTest, OfEquallyFastOnesAndOfUnmeasuredOnesTheFirst) {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  FakeTimer timer({{2, 1, 1}, {kNone, kNone, kNone}, {kNone, 5}});
  Cluster cluster = Devices(1);
  cluster.kernel_timer = &timer;
  EXPECT_EQ(Ways(Nodes(cluster, {5, 6, 2}), cluster),
            (Names{"tall", "plain", "plain"}));
}

TEST_F(ChooseKernelsTest, EqualKernelsAreAskedForOnce) {
  FakeTimer timer({{3, 1, 2}, {3, 2, 1}});
  Cluster cluster = Devices(2);
  cluster.kernel_timer = &timer;
  EXPECT_EQ(
      Ways(Nodes(cluster, {6, 8, 6, 8}), cluster),
      (Names{"tall", "tall", "odd", "odd", "tall", "tall", "odd", "odd"}));
  ASSERT_EQ(timer.asked.size(), 2u);
  const KernelChoice& choice = timer.asked[0];
  EXPECT_EQ(choice.device_kind, "cpu");
  EXPECT_EQ(choice.cores, 3);
  EXPECT_EQ(choice.op, "work");
  EXPECT_EQ(choice.spec.attributes, Way("auto"));
  EXPECT_EQ(choice.spec.inputs[0].shape, (ops::Shape{3, 4}));
  EXPECT_EQ(choice.spec.outputs[0].offset, (ops::Shape{0, 0}));
  EXPECT_EQ(choice.alternatives, (std::vector<ops::Attributes>{
                                     Way("plain"), Way("tall"), Way("odd")}));
  EXPECT_EQ(timer.asked[1].spec.inputs[0].shape, (ops::Shape{4, 4}));
}

TEST_F(ChooseKernelsTest, OtherDevicesAreOtherKernels) {
  FakeTimer timer({{3, 1, 2}, {3, 1, 2}});
  Cluster cluster = Devices(2);
  cluster.devices[1].cores = 2;
  cluster.kernel_timer = &timer;
  EXPECT_EQ(Ways(Nodes(cluster, {6}), cluster), (Names{"tall", "tall"}));
  ASSERT_EQ(timer.asked.size(), 2u);
  EXPECT_EQ(timer.asked[1].cores, 2);
}

// Shares of 4 and 3 rows: each is fastest by another, and in sum "plain" is as
// good as "odd".
TEST_F(ChooseKernelsTest, OfUnequalSharesTheSlowestCounts) {
  FakeTimer timer({{1, 8, 4}, {6, 1, 3}});
  Cluster cluster = Devices(2);
  cluster.kernel_timer = &timer;
  EXPECT_EQ(Ways(Nodes(cluster, {7}), cluster), (Names{"odd", "odd"}));
}

// Each share's own; without one by the model, which says the same of all ways.
TEST_F(ChooseKernelsTest, WhatWasMeasuredIsPredicted) {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  FakeTimer timer({{10, 80, 40}, {60, 10, 30}, {kNone, kNone, kNone}});
  Cluster cluster = Devices(2);
  const TaskGraph graph = Nodes(cluster, {7, 12});
  const auto by_model = ChooseKernels(graph, cluster, {}, Ops(), FindOp);
  cluster.kernel_timer = &timer;
  const auto chosen = ChooseKernels(graph, cluster, {}, Ops(), FindOp);
  ASSERT_TRUE(by_model.ok() && chosen.ok());
  EXPECT_EQ(chosen->tasks[0].predicted_seconds, 40);
  EXPECT_EQ(chosen->tasks[1].predicted_seconds, 30);
  for (int t : {2, 3}) {
    EXPECT_EQ(chosen->tasks[t].predicted_seconds,
              by_model->tasks[t].predicted_seconds);
  }
}

// Shares of 3 and 2 rows: only one of them could be "tall", and the order is
// that of the first.
TEST_F(ChooseKernelsTest, UnequalSharesTakeWhatAllCan) {
  Cluster cluster = Devices(2);
  EXPECT_EQ(Ways(Nodes(cluster, {5}), cluster), (Names{"plain", "plain"}));
  FakeTimer timer({{3, 1, 2}, {2, 1}});
  cluster.kernel_timer = &timer;
  EXPECT_EQ(Ways(Nodes(cluster, {5}), cluster), (Names{"odd", "odd"}));
}

TEST_F(ChooseKernelsTest, WhatIsDecidedIsNotAsked) {
  FakeTimer timer({});
  Cluster cluster = Devices(2);
  cluster.kernel_timer = &timer;
  EXPECT_EQ(Ways(Nodes(cluster, {6}, "tall"), cluster),
            (Names{"tall", "tall"}));
  EXPECT_TRUE(timer.asked.empty());
}

TEST_F(ChooseKernelsTest, PreferredOnesComeFirst) {
  FakeTimer timer({{1, 2}});
  Cluster cluster = Devices(1);
  cluster.kernel_timer = &timer;
  // Of the node that cannot be "tall", the fastest; the other is not asked.
  EXPECT_EQ(
      Ways(Nodes(cluster, {5, 2}), cluster, {{"way", std::string("tall")}}),
      (Names{"tall", "odd"}));
  EXPECT_EQ(timer.asked.size(), 1u);
}

class JoinKernelsTest : public ChooseKernelsTest {
 protected:
  // A node of "work" and one of "sum" that reads it.
  static TaskGraph Pair(const Cluster& cluster, int64_t rows) {
    TaskGraph graph = Nodes(cluster, {rows});
    for (int d = 0; d < cluster.num_devices(); ++d) {
      LocalTask sum = graph.tasks[d];
      sum.name = "sum";
      sum.node = 1;
      sum.op = "sum";
      sum.attributes = {{"groups", int64_t{1}}};
      sum.inputs = graph.tasks[d].outputs;
      sum.outputs = {static_cast<int>(graph.registers.size())};
      graph.registers.push_back(graph.registers[sum.inputs[0]]);
      graph.tasks.push_back(sum);
    }
    return graph;
  }
  // The ops of the tasks.
  static Names Chosen(const TaskGraph& graph, const Cluster& cluster) {
    const auto chosen = ChooseKernels(graph, cluster, {}, Ops(), FindOp);
    EXPECT_TRUE(chosen.ok()) << chosen.status();
    Names names;
    for (const LocalTask& task : chosen->tasks) names.push_back(task.op);
    return names;
  }
};

// Asked: "work", plain, tall and odd; "both", as it is and joined; "sum".
TEST_F(JoinKernelsTest, WhatTakesLessTogetherIsJoined) {
  FakeTimer timer({{3, 1, 2}, {9, 2.5}, {2}});
  Cluster cluster = Devices(2);
  cluster.kernel_timer = &timer;
  const TaskGraph graph = Pair(cluster, 8);
  const auto chosen = ChooseKernels(graph, cluster, {}, Ops(), FindOp);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  ASSERT_EQ(timer.asked.size(), 3u);
  EXPECT_EQ(timer.asked[1].op, "both");
  EXPECT_EQ(timer.asked[2].op, "sum");
  EXPECT_EQ(timer.asked[2].alternatives.size(), 1u);
  ASSERT_EQ(chosen->tasks.size(), 2u);
  for (int d = 0; d < 2; ++d) {
    const LocalTask& task = chosen->tasks[d];
    EXPECT_EQ(task.name, "node0");
    EXPECT_EQ(task.op, "both");
    EXPECT_EQ(task.device, d);
    EXPECT_EQ(task.attributes, (ops::Attributes{{"way", std::string("joined")},
                                                {"kept", int64_t{7}},
                                                {"groups", int64_t{1}}}));
    EXPECT_EQ(task.inputs, graph.tasks[d].inputs);
    EXPECT_EQ(task.outputs, (std::vector<int>{graph.tasks[d].outputs[0],
                                              graph.tasks[2 + d].outputs[0]}));
    EXPECT_EQ(task.predicted_seconds, 2.5);
    EXPECT_EQ(task.workspace_bytes, 600);
  }
}

TEST_F(JoinKernelsTest, WhatTakesMoreTogetherIsNot) {
  for (double joined : {3.0, std::numeric_limits<double>::infinity()}) {
    // As it is, "both" is no kernel of its own, however fast.
    FakeTimer timer({{3, 1, 2}, {0.5, joined}, {2}});
    Cluster cluster = Devices(1);
    cluster.kernel_timer = &timer;
    const auto chosen =
        ChooseKernels(Pair(cluster, 8), cluster, {}, Ops(), FindOp);
    ASSERT_TRUE(chosen.ok()) << chosen.status();
    ASSERT_EQ(chosen->tasks.size(), 2u);
    EXPECT_EQ(chosen->tasks[0].attributes, Way("tall"));
    EXPECT_EQ(chosen->tasks[1].op, "sum");
    EXPECT_EQ(chosen->tasks[1].predicted_seconds, 2);
  }
}

TEST_F(JoinKernelsTest, NothingIsWithoutAMeasurement) {
  EXPECT_EQ(Chosen(Pair(Devices(1), 8), Devices(1)), (Names{"work", "sum"}));
}

// Shares of 4 and 3 rows: the slower of each kind counts.
TEST_F(JoinKernelsTest, OfUnequalSharesTheSlowestCounts) {
  Cluster cluster = Devices(2);
  for (double joined : {5.5, 6.5}) {
    FakeTimer timer({{4, 4, 4}, {3, 3, 3}, {9, 5}, {9, joined}, {2}, {1}});
    cluster.kernel_timer = &timer;
    EXPECT_EQ(Chosen(Pair(cluster, 7), cluster).size(), joined < 6 ? 2 : 4);
  }
}

TEST_F(JoinKernelsTest, OnlyWhatLooksTheSameOnAllDevices) {
  FakeTimer timer({{3, 1, 2}});
  Cluster cluster = Devices(2);
  cluster.kernel_timer = &timer;
  TaskGraph graph = Pair(cluster, 8);
  graph.tasks.pop_back();  // The second device reads it otherwise.
  EXPECT_EQ(Chosen(graph, cluster), (Names{"work", "work", "sum"}));
  graph = Pair(cluster, 8);
  graph.tasks.back().name = "another sum";
  graph.tasks.back().node = 2;
  EXPECT_EQ(Chosen(graph, cluster), (Names{"work", "work", "sum", "sum"}));
}

// The copy in the backward pass must have the same bits.
TEST_F(JoinKernelsTest, NotWhatIsComputedAgain) {
  FakeTimer timer({{3, 1, 2}});
  Cluster cluster = Devices(1);
  cluster.kernel_timer = &timer;
  TaskGraph graph = Pair(cluster, 8);
  LocalTask again = graph.tasks[0];
  again.name = "node0/again";
  again.node = 2;
  again.origin.again = true;
  again.outputs = {static_cast<int>(graph.registers.size())};
  graph.registers.push_back(graph.registers[0]);
  graph.tasks.push_back(again);
  EXPECT_EQ(Chosen(graph, cluster), (Names{"work", "sum", "work"}));
}

// A node of "work", one of "report" that makes an offset, and one of "shift"
// that reads both.
class JoinWithoutBetweenTest : public JoinKernelsTest {
 protected:
  static TaskGraph Shifted(const Cluster& cluster) {
    TaskGraph graph = Pair(cluster, 8);
    LocalTask shift = graph.tasks.back();
    shift.op = "shift";
    graph.tasks.pop_back();
    LocalTask source = graph.tasks[0];
    source.name = "source";
    source.node = 2;
    source.op = "sum";
    source.inputs = {};
    source.outputs = {static_cast<int>(graph.registers.size())};
    graph.registers.push_back(graph.registers[0]);
    shift.inputs.push_back(source.outputs[0]);
    graph.tasks.push_back(source);
    graph.tasks.push_back(shift);
    return graph;
  }

  FakeTimer timer_ = FakeTimer({{3, 1, 2}, {9, 2.5}, {2}});
  FakeTimer asked_for_work_ = FakeTimer({{3, 1, 2}});  // Nothing to join.
};

TEST_F(JoinWithoutBetweenTest, WhatIsBetweenIsGone) {
  Cluster cluster = Devices(1);
  cluster.kernel_timer = &timer_;
  const TaskGraph graph = Shifted(cluster);
  const auto chosen = ChooseKernels(graph, cluster, {}, Ops(), FindOp);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  // Behind what it has to wait for.
  ASSERT_EQ(chosen->tasks.size(), 2u);
  EXPECT_EQ(chosen->tasks[0].name, "source");
  const LocalTask& joined = chosen->tasks[1];
  EXPECT_EQ(joined.op, "both");
  EXPECT_EQ(joined.name, "node0");
  // Registers: x, what is between, y, the offset.
  ASSERT_EQ(chosen->registers.size(), 3u);
  EXPECT_EQ(joined.inputs, (std::vector<int>{0, 2}));
  EXPECT_EQ(joined.outputs, std::vector<int>{1});
  EXPECT_EQ(chosen->tasks[0].outputs, std::vector<int>{2});
}

TEST_F(JoinWithoutBetweenTest, NotIfOthersReadIt) {
  Cluster cluster = Devices(1);
  cluster.kernel_timer = &asked_for_work_;
  TaskGraph graph = Shifted(cluster);
  LocalTask other = graph.tasks.back();
  other.name = "other";
  other.node = 3;
  graph.tasks.push_back(other);
  EXPECT_EQ(Chosen(graph, cluster).size(), 4u);
}

// The first one's work would come after that.
TEST_F(JoinWithoutBetweenTest, NotIfWhatItReadsChangesBefore) {
  Cluster cluster = Devices(1);
  cluster.kernel_timer = &timer_;
  TaskGraph graph = Shifted(cluster);
  LocalTask& source = graph.tasks[1];
  source.inputs = graph.tasks[0].inputs;
  EXPECT_EQ(Chosen(graph, cluster), (Names{"sum", "both"}));
  source.mutates = {0};
  cluster.kernel_timer = &asked_for_work_;
  EXPECT_EQ(Chosen(graph, cluster), (Names{"work", "sum", "shift"}));
}

TEST_F(JoinKernelsTest, OnlyTheFirstReader) {
  FakeTimer timer({{3, 1, 2}, {9, 2.5}, {2}});
  Cluster cluster = Devices(1);
  cluster.kernel_timer = &timer;
  TaskGraph graph = Pair(cluster, 8);
  LocalTask other = graph.tasks[1];
  other.name = "other";
  other.node = 2;
  graph.tasks.push_back(other);
  EXPECT_EQ(Chosen(graph, cluster), (Names{"both", "sum"}));
}

TEST_F(ChooseKernelsTest, SaysWhichKernelIsMissing) {
  TaskGraph graph = Nodes(Devices(1), {6});
  graph.tasks[0].op = "report";
  const auto status =
      ChooseKernels(graph, Devices(1), {}, Ops(), FindOp).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(status.message(),
            "node0: devices of kind test have no kernel for op report");
}

TEST_F(ChooseKernelsTest, HardwareWithoutKernelsGetsTimes) {
  Cluster cluster = Devices(2);
  cluster.kernels = nullptr;
  const auto chosen =
      ChooseKernels(Nodes(cluster, {6}), cluster, {}, Ops(), FindOp);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->tasks[0].attributes, Way("auto"));
  EXPECT_EQ(chosen->tasks[0].workspace_bytes, 0);
  EXPECT_GT(chosen->tasks[0].predicted_seconds, 0);
}

}  // namespace
}  // namespace facet::placement
