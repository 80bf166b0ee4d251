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

std::vector<Values> Sum(const Attributes&, const std::vector<TensorType>&,
                        const std::vector<Values>& inputs) {
  Values sum = inputs[0];
  for (size_t k = 1; k < inputs.size(); ++k) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += inputs[k][i];
  }
  return {sum};
}

OpCase Case(std::string op, int count, Shape shape) {
  OpCase op_case;
  op_case.op = std::move(op);
  op_case.inputs.assign(count, {DataType::kFloat32, std::move(shape)});
  return op_case;
}

TEST(AddTest, MatchesReference) {
  for (const Shape& shape :
       {Shape{}, Shape{3, 7}, Shape{2, 16, 3, 5}, Shape{40000}}) {
    ExpectMatchesReference(Case("add", 2, shape), Sum);
  }
}

TEST(AddTest, GradientMatches) {
  ExpectGradientMatches(Case("add", 2, {3, 4}), Sum);
}

TEST(AddTest, InPlaceOnEitherInput) {
  for (int input : {0, 1}) {
    HostValue a = HostValue::Whole({DataType::kFloat32, {3}});
    HostValue b = HostValue::Whole({DataType::kFloat32, {3}});
    a.FromDoubles({1, 2, 3});
    b.FromDoubles({10, 20, 30});
    RunOptions options;
    options.in_place = {{input, 0}};
    const absl::StatusOr<std::vector<HostValue>> y =
        RunOp(*FindOp("add"), {}, {a, b}, {a.slice()}, options, CpuKernels());
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_EQ((*y)[0].ToDoubles(), (Values{11, 22, 33}));
  }
}

TEST(AddTest, RefusesDifferentTypes) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  auto value = [&](std::vector<int64_t> shape, absl::string_view dtype) {
    return builder.Add1(
        "fill", "x", {},
        {{"shape", std::move(shape)}, {"dtype", std::string(dtype)}});
  };
  const TensorId x = value({2, 3}, "float32");
  EXPECT_THAT(
      std::string(builder.Add("add", "sum", {x, value({3, 2}, "float32")})
                      .status()
                      .message()),
      ::testing::HasSubstr("input 1 is float32[3, 2], input 0 is "
                           "float32[2, 3]"));
  EXPECT_FALSE(builder.Add("add", "sum", {x, value({2, 3}, "float16")}).ok());
  const TensorId integer = value({2, 3}, "int32");
  EXPECT_FALSE(builder.Add("add", "sum", {integer, integer}).ok());
}

TEST(AddNTest, MatchesReference) {
  for (int count : {1, 2, 3, 5}) {
    ExpectMatchesReference(Case("add_n", count, {3, 7}), Sum);
    ExpectMatchesReference(Case("add_n", count, {2, 8, 3, 3}), Sum);
  }
}

TEST(AddNTest, GradientMatches) {
  ExpectGradientMatches(Case("add_n", 3, {3, 4}), Sum);
}

// 1 + 2^-8 is a tie in bfloat16: added one by one, both would be lost.
TEST(AddNTest, HalfTypesAreRoundedOnce) {
  HostValue one = HostValue::Whole({DataType::kBFloat16, {1}});
  HostValue small = HostValue::Whole({DataType::kBFloat16, {1}});
  one.FromDoubles({1});
  small.FromDoubles({0x1p-8});
  const HostValue y = RunOp(*FindOp("add_n"), {}, {one, small, small},
                            {one.slice()}, {}, CpuKernels())
                          .value()[0];
  EXPECT_EQ(y.ToDoubles()[0], 1 + 0x1p-7);
}

}  // namespace
}  // namespace facet::ops
