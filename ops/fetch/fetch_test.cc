#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/fetch_sink.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"

namespace facet::ops {
namespace {

using ::testing::ElementsAre;

struct RecordingSink : FetchSink {
  absl::Status OnFetch(int64_t step, absl::string_view name, int rank,
                       const TensorView& value) override {
    reports.push_back(std::to_string(step) + " " + std::string(name) + " " +
                      std::to_string(rank) + " " +
                      value.slice.offset.ToString() + " " +
                      std::to_string(value.as<float>()[0]).substr(0, 3));
    return status;
  }
  std::vector<std::string> reports;
  absl::Status status;
};

absl::Status Fetch(const Sbp& sbp, int rank, int num_ranks, FetchSink* sink) {
  HostValue x = HostValue::Whole({DataType::kFloat32, {4, 2}});
  x.FromDoubles({0, 1, 2, 3, 4, 5, 6, 7});
  RunOptions options;
  options.step = 3;
  options.rank = rank;
  options.num_ranks = num_ranks;
  options.fetch_sink = sink;
  return RunOp(*FindOp("fetch"), {{"name", std::string("loss")}},
               {TakeShare(x, sbp, num_ranks, rank)}, {}, options, CpuKernels())
      .status();
}

TEST(FetchTest, EveryShardIsReported) {
  RecordingSink sink;
  EXPECT_TRUE(Fetch(Sbp::S(0), 0, 2, &sink).ok());
  EXPECT_TRUE(Fetch(Sbp::S(0), 1, 2, &sink).ok());
  EXPECT_THAT(sink.reports,
              ElementsAre("3 loss 0 [0, 0] 0.0", "3 loss 1 [2, 0] 4.0"));
}

TEST(FetchTest, OneOfManyCopiesIsReported) {
  RecordingSink sink;
  EXPECT_TRUE(Fetch(Sbp::B(), 1, 2, &sink).ok());
  EXPECT_TRUE(Fetch(Sbp::B(), 0, 2, &sink).ok());
  EXPECT_TRUE(Fetch(Sbp::B(), 0, 1, &sink).ok());
  EXPECT_THAT(sink.reports,
              ElementsAre("3 loss 0 [0, 0] 0.0", "3 loss 0 [0, 0] 0.0"));
}

TEST(FetchTest, ErrorsOfTheSinkStopTheRun) {
  RecordingSink sink;
  sink.status = absl::ResourceExhaustedError("disk full");
  EXPECT_EQ(Fetch(Sbp::B(), 0, 1, &sink), sink.status);
}

TEST(FetchTest, NobodyListens) {
  EXPECT_TRUE(Fetch(Sbp::B(), 0, 1, nullptr).ok());
}

TEST(FetchTest, NeedsAName) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId x =
      builder.Add1("fill", "x", {}, {{"shape", std::vector<int64_t>{2}}});
  EXPECT_EQ(
      builder.Add("fetch", "f", {x}, {{"name", std::string()}}).status().code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(
      builder.Add("fetch", "f", {x}, {{"name", std::string("x")}}).ok());
}

}  // namespace
}  // namespace facet::ops
