#include "placement/passes/bucket_collectives.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "placement/passes/order_tasks.h"
#include "placement/passes/random_graph.h"

namespace facet::placement {
namespace {

using testing::ElementsAre;

constexpr int64_t kNoLimit = int64_t{1} << 40;

// A backward pass by hand, on two devices: gradients one after the other, a
// second each, their all-reduces (a latency and a second per 100 bytes), and
// their updates.
class Backward {
 public:
  explicit Backward(double latency) : latency_(latency) {}

  // The all-reduce of a gradient of so many bytes.
  void Gradient(const std::string& name, int64_t bytes, int group = 0) {
    for (int d = 0; d < 2; ++d) {
      const int gradient = Register(d, bytes), sum = Register(d, bytes);
      LocalTask* compute = Add(absl::StrCat(name, "/grad"), d, 1);
      if (last_[d] >= 0) compute->inputs = {last_[d]};
      compute->outputs = {gradient};
      compute->origin.phase = ops::Phase::kBackward;
      last_[d] = gradient;
      LocalTask* reduce =
          Add(absl::StrCat(name, "/all-reduce"), d, latency_ + bytes / 100.);
      reduce->stream = ops::StreamKind::kCommunication;
      reduce->inputs = {gradient};
      reduce->outputs = {sum};
      reduce->in_place = {{0, 0}};
      reduce->rank = d;
      reduce->num_ranks = 2;
      reduce->collective.kind = CollectiveKind::kAllReduce;
      reduce->collective.reduce = ReduceKind::kSum;
      reduce->collective.group = group;
      reduce->collective.bytes = bytes;
      reduce->collective.latency_seconds = latency_;
      LocalTask* update = Add(absl::StrCat(name, "/update"), d, 0);
      update->inputs = {sum};
      sums_[d].push_back(sum);
    }
  }
  // The next gradient needs the sum of the last one.
  void NeedsTheLast() {
    for (int d = 0; d < 2; ++d) last_[d] = sums_[d].back();
  }
  LocalTask* Task(const std::string& name, int device) {
    for (LocalTask& task : graph.tasks) {
      if (task.name == name && task.device == device) return &task;
    }
    return nullptr;
  }
  // "a b|c d": names of the gradients.
  std::string Buckets(int64_t limit_bytes) const {
    const std::vector<TaskUnit> units = FindTaskUnits(graph);
    std::string text;
    for (const auto& bucket : FindBuckets(graph, units, limit_bytes)) {
      if (!text.empty()) text += "|";
      for (int u : bucket) {
        const std::string& name = graph.tasks[units[u].tasks[0]].name;
        if (!text.empty() && text.back() != '|') text += " ";
        text += name.substr(0, name.find('/'));
      }
    }
    return text;
  }
  double Seconds(int64_t limit_bytes) const {
    const std::vector<TaskUnit> units = FindTaskUnits(graph);
    return ScheduledSeconds(graph, units,
                            FindBuckets(graph, units, limit_bytes));
  }

  TaskGraph graph;

 private:
  int Register(int device, int64_t bytes) {
    LocalRegister reg;
    reg.device = device;
    reg.slice.shape = reg.slice.global_shape = {bytes / 4};
    reg.slice.offset = {0};
    graph.registers.push_back(reg);
    return static_cast<int>(graph.registers.size()) - 1;
  }
  LocalTask* Add(const std::string& name, int device, double seconds) {
    LocalTask task;
    task.name = name;
    task.device = device;
    task.predicted_seconds = seconds;
    task.origin.phase = ops::Phase::kOptimizer;
    task.origin.part = "backbone";
    graph.tasks.push_back(task);
    return &graph.tasks.back();
  }

  const double latency_;
  int last_[2] = {-1, -1};
  std::vector<int> sums_[2];
};

TEST(FindBuckets, FillsOneAfterTheOther) {
  Backward b(0);
  for (const char* name : {"a", "b", "c", "d", "e"}) b.Gradient(name, 400);
  EXPECT_EQ(b.Buckets(800), "a b|c d");  // e is alone.
  EXPECT_EQ(b.Buckets(799), "");
  EXPECT_EQ(b.Buckets(1200), "a b c|d e");
  EXPECT_EQ(b.Buckets(kNoLimit), "a b c d e");
}

TEST(FindBuckets, LargerThanTheLimitIsAlone) {
  Backward b(0);
  b.Gradient("a", 400);
  b.Gradient("big", 4000);
  b.Gradient("c", 400);
  b.Gradient("d", 400);
  EXPECT_EQ(b.Buckets(800), "c d");
}

TEST(FindBuckets, OnlyWhatMayWaitAndIsAlike) {
  Backward b(0);
  for (const char* name : {"a", "b", "c", "d"}) b.Gradient(name, 400);
  for (int d = 0; d < 2; ++d) {
    // A statistic that the backward pass waits for.
    b.Task("b/all-reduce", d)->origin.phase = ops::Phase::kBackward;
  }
  EXPECT_EQ(b.Buckets(kNoLimit), "a c d");
  for (int d = 0; d < 2; ++d) {
    b.Task("d/all-reduce", d)->origin.part = "head";
  }
  EXPECT_EQ(b.Buckets(kNoLimit), "a c");
  for (int d = 0; d < 2; ++d) b.Task("a/all-reduce", d)->origin.every = 2;
  EXPECT_EQ(b.Buckets(kNoLimit), "");
  for (int d = 0; d < 2; ++d) b.Task("a/all-reduce", d)->origin.every = 1;
  for (int d = 0; d < 2; ++d) {
    b.Task("c/all-reduce", d)->collective.reduce = ReduceKind::kMax;
  }
  EXPECT_EQ(b.Buckets(kNoLimit), "");

  Backward groups(0);
  groups.Gradient("a", 400, 0);
  groups.Gradient("b", 400, 0);
  groups.Gradient("c", 400, 1);
  groups.Gradient("d", 400, 1);
  EXPECT_EQ(groups.Buckets(kNoLimit), "a b|c d");
}

TEST(FindBuckets, WhatNeedsAnothersSumIsNotWithIt) {
  Backward b(0);
  b.Gradient("a", 400);
  b.Gradient("b", 400);
  b.NeedsTheLast();
  b.Gradient("c", 400);
  b.Gradient("d", 400);
  EXPECT_EQ(b.Buckets(kNoLimit), "a b|c d");
}

TEST(ScheduledSeconds, AsByHand) {
  // Gradients end at 1, 2, 3, 4; each all-reduce takes 10 + 4.
  Backward slow_start(10);
  for (const char* n : {"a", "b", "c", "d"}) slow_start.Gradient(n, 400);
  EXPECT_DOUBLE_EQ(slow_start.Seconds(0), 1 + 4 * 14);
  EXPECT_DOUBLE_EQ(slow_start.Seconds(800), 2 + 2 * 18);
  EXPECT_DOUBLE_EQ(slow_start.Seconds(kNoLimit), 4 + 10 + 16);
  // Without latency the largest bucket only begins later.
  Backward fast_start(0);
  for (const char* n : {"a", "b", "c", "d"}) fast_start.Gradient(n, 400);
  EXPECT_DOUBLE_EQ(fast_start.Seconds(0), 1 + 4 * 4);
  EXPECT_DOUBLE_EQ(fast_start.Seconds(kNoLimit), 4 + 16);
}

TEST(ScheduledSeconds, WaitsForAllInputsAndNotForTheData) {
  Backward b(0);
  b.Gradient("a", 400);   // From 0 to 1, summed at 5.
  b.Gradient("b", 4000);  // From 1 to 2, summed at 45.
  for (int d = 0; d < 2; ++d) {
    // Both sums; then a second of work.
    LocalTask* last = b.Task("a/update", d);
    last->inputs.insert(last->inputs.begin(), b.Task("b/update", d)->inputs[0]);
    last->predicted_seconds = 1;
    // Read ahead, however long it takes.
    LocalTask data;
    data.name = "images";
    data.device = d;
    data.stream = ops::StreamKind::kData;
    data.predicted_seconds = 1000;
    b.graph.tasks.push_back(data);
  }
  EXPECT_DOUBLE_EQ(b.Seconds(0), 46);
}

TEST(BucketCollectives, TakesTheFastest) {
  Backward fast_start(0);
  for (int i = 0; i < 64; ++i) {
    fast_start.Gradient(absl::StrCat("g", i), 1 << 20);
  }
  EXPECT_EQ(BucketCollectives(fast_start.graph).tasks.size(),
            fast_start.graph.tasks.size());

  Backward slow_start(1e6);
  for (int i = 0; i < 64; ++i) {
    slow_start.Gradient(absl::StrCat("g", i), 1 << 20);
  }
  const TaskGraph joined = BucketCollectives(slow_start.graph);
  std::vector<const LocalTask*> reduces;
  for (const LocalTask& task : joined.tasks) {
    if (task.collective.kind != CollectiveKind::kNone) reduces.push_back(&task);
  }
  ASSERT_EQ(reduces.size(), 2u);
  const LocalTask& bucket = *reduces[1];
  EXPECT_EQ(bucket.device, 1);
  EXPECT_EQ(bucket.rank, 1);
  EXPECT_EQ(bucket.inputs.size(), 64u);
  EXPECT_EQ(bucket.collective.bytes, int64_t{64} << 20);
  EXPECT_DOUBLE_EQ(bucket.predicted_seconds, 1e6 + (int64_t{64} << 20) / 100.);
  // Gradient i is reduced into sum i.
  for (int i = 0; i < 64; ++i) {
    const LocalTask* single =
        slow_start.Task(absl::StrCat("g", i, "/all-reduce"), 1);
    EXPECT_EQ(bucket.inputs[i], single->inputs[0]);
    EXPECT_EQ(bucket.outputs[i], single->outputs[0]);
    EXPECT_EQ(bucket.in_place[i].input, i);
    EXPECT_EQ(bucket.in_place[i].output, i);
  }
}

TEST(BucketCollectives, RandomGraphsStayTheSameWork) {
  int joined_graphs = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    auto split =
        SplitPerDevice(RandomGraph(seed, 3, 60), TestCluster(3), 2, FindAnyOp);
    ASSERT_TRUE(split.ok()) << split.status();
    for (LocalTask& task : split->tasks) {
      if (task.collective.kind != CollectiveKind::kAllReduce) continue;
      task.origin.phase = ops::Phase::kOptimizer;
      task.collective.latency_seconds = 1;
      task.predicted_seconds += 1;
    }
    auto ordered = OrderTasks(*split);
    ASSERT_TRUE(ordered.ok()) << ordered.status();
    const TaskGraph joined = BucketCollectives(*ordered);
    joined_graphs += joined.tasks.size() < ordered->tasks.size();
    // No cycle, whatever was joined with what.
    const auto again = OrderTasks(joined);
    ASSERT_TRUE(again.ok()) << "seed " << seed << ": " << again.status();
    // Register r is written as before: by the same op, or reduced from the
    // same input.
    auto writers = [](const TaskGraph& graph) {
      std::map<int, std::string> by_register;
      for (const LocalTask& task : graph.tasks) {
        const bool reduces = task.collective.kind == CollectiveKind::kAllReduce;
        for (size_t i = 0; i < task.outputs.size(); ++i) {
          by_register[task.outputs[i]] =
              reduces ? absl::StrCat("reduced from ", task.inputs[i])
                      : task.name;
        }
      }
      return by_register;
    };
    EXPECT_EQ(writers(*again), writers(*ordered)) << "seed " << seed;
  }
  EXPECT_GT(joined_graphs, 20);
}

}  // namespace
}  // namespace facet::placement
