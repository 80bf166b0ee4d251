#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

using ::testing::HasSubstr;

// Both keep the row-major order of the elements.
std::vector<Values> Identity(const Attributes&, const std::vector<TensorType>&,
                             const std::vector<Values>& inputs) {
  return inputs;
}

OpCase Flatten(Shape shape) {
  OpCase op_case;
  op_case.op = "flatten";
  op_case.inputs = {{DataType::kFloat32, std::move(shape)}};
  return op_case;
}

OpCase Unflatten(int64_t n, int64_t channels, int64_t height, int64_t width) {
  OpCase op_case;
  op_case.op = "unflatten";
  op_case.attributes = {
      {"channels", channels}, {"height", height}, {"width", width}};
  op_case.inputs = {{DataType::kFloat32, {n, channels * height * width}}};
  return op_case;
}

TEST(FlattenTest, MatchesReferenceInEveryLayout) {
  ExpectMatchesReference(Flatten({3, 16, 7, 7}), Identity);
  ExpectMatchesReference(Flatten({2, 5, 3, 4}), Identity);
  ExpectMatchesReference(Unflatten(3, 16, 7, 7), Identity);
  ExpectMatchesReference(Unflatten(2, 5, 3, 4), Identity);
}

TEST(FlattenTest, EachIsTheOthersGradient) {
  ExpectGradientMatches(Flatten({2, 3, 2, 2}), Identity);
  ExpectGradientMatches(Unflatten(2, 3, 2, 2), Identity);
}

TEST(FlattenTest, InPlaceNothingIsDone) {
  HostValue x = HostValue::Whole({DataType::kFloat32, {1, 2, 1, 2}});
  x.FromDoubles({1, 2, 3, 4});
  RunOptions options;
  options.in_place = {{0, 0}};
  const HostValue y =
      RunOp(*FindOp("flatten"), {}, {x},
            {HostValue::Whole({DataType::kFloat32, {1, 4}}).slice()}, options,
            CpuKernels())
          .value()[0];
  EXPECT_EQ(y.ToDoubles(), (Values{1, 2, 3, 4}));
}

TEST(FlattenTest, ChannelsAreSplitOnlyEvenly) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId x = builder.Add1(
      "fill", "x", {}, {{"shape", std::vector<int64_t>{8, 6, 2, 2}}});
  builder.Add1("flatten", "y", {x});
  ASSERT_TRUE(builder.status().ok()) << builder.status();
  const NodeCall node(graph, 1);
  const Signature by_channel = {{Sbp::S(1)}, {Sbp::S(1)}};
  EXPECT_THAT(LegalSignatures(*FindOp("flatten"), node.call(), 3),
              ::testing::Contains(by_channel));
  EXPECT_THAT(LegalSignatures(*FindOp("flatten"), node.call(), 4),
              ::testing::Not(::testing::Contains(by_channel)));
}

TEST(FlattenTest, RefusesOtherShapes) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId x =
      builder.Add1("fill", "x", {}, {{"shape", std::vector<int64_t>{2, 12}}});
  EXPECT_THAT(std::string(builder.Add("flatten", "y", {x}).status().message()),
              HasSubstr("float32[2, 12]; expected rank 4"));
  const auto unflatten = [&](int64_t c, int64_t h, int64_t w) {
    return std::string(builder
                           .Add("unflatten", "y", {x},
                                {{"channels", c}, {"height", h}, {"width", w}})
                           .status()
                           .message());
  };
  EXPECT_EQ(unflatten(3, 2, 2), "");
  EXPECT_THAT(unflatten(3, 2, 3), HasSubstr("= [N, 3*2*3]"));
  EXPECT_THAT(unflatten(8, INT64_MAX, 1), HasSubstr("= [N, 8*"));
  EXPECT_THAT(unflatten(-3, -2, 2), HasSubstr("at least 1"));
}

}  // namespace
}  // namespace facet::ops
