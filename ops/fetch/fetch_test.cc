#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/fetch_sink.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
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

class FetchTest : public testing::TestWithParam<const KernelLibrary*> {
 protected:
  static absl::Status Fetch(const Sbp& sbp, int rank, int num_ranks,
                            FetchSink* sink);
};

absl::Status FetchTest::Fetch(const Sbp& sbp, int rank, int num_ranks,
                              FetchSink* sink) {
  HostValue x = HostValue::Whole({DataType::kFloat32, {4, 2}});
  x.FromDoubles({0, 1, 2, 3, 4, 5, 6, 7});
  RunOptions options;
  options.step = 3;
  options.rank = rank;
  options.num_ranks = num_ranks;
  options.fetch_sink = sink;
  return RunOp(*FindOp("fetch"), {{"name", std::string("loss")}},
               {TakeShare(x, sbp, num_ranks, rank)}, {}, options, *GetParam())
      .status();
}

TEST_P(FetchTest, EveryShardIsReported) {
  RecordingSink sink;
  EXPECT_TRUE(Fetch(Sbp::S(0), 0, 2, &sink).ok());
  EXPECT_TRUE(Fetch(Sbp::S(0), 1, 2, &sink).ok());
  EXPECT_THAT(sink.reports,
              ElementsAre("3 loss 0 [0, 0] 0.0", "3 loss 1 [2, 0] 4.0"));
}

TEST_P(FetchTest, OneOfManyCopiesIsReported) {
  RecordingSink sink;
  EXPECT_TRUE(Fetch(Sbp::B(), 1, 2, &sink).ok());
  EXPECT_TRUE(Fetch(Sbp::B(), 0, 2, &sink).ok());
  EXPECT_TRUE(Fetch(Sbp::B(), 0, 1, &sink).ok());
  EXPECT_THAT(sink.reports,
              ElementsAre("3 loss 0 [0, 0] 0.0", "3 loss 0 [0, 0] 0.0"));
}

TEST_P(FetchTest, ErrorsOfTheSinkStopTheRun) {
  RecordingSink sink;
  sink.status = absl::ResourceExhaustedError("disk full");
  EXPECT_EQ(Fetch(Sbp::B(), 0, 1, &sink), sink.status);
}

TEST_P(FetchTest, NobodyListens) {
  EXPECT_TRUE(Fetch(Sbp::B(), 0, 1, nullptr).ok());
}

std::vector<const KernelLibrary*> Libraries() {
  std::vector<const KernelLibrary*> libraries = {&CpuKernels()};
  if (CudaUnavailable().empty()) libraries.push_back(&CudaKernelsOnHost());
  return libraries;
}

INSTANTIATE_TEST_SUITE_P(Kernels, FetchTest, testing::ValuesIn(Libraries()),
                         [](const auto& info) {
                           return std::string(info.param->device_kind);
                         });

TEST(FetchGraphTest, NeedsAName) {
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
