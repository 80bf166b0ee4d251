#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

std::vector<Values> Scaled(const Attributes& attributes,
                           const std::vector<TensorType>&,
                           const std::vector<Values>& inputs) {
  Values y = inputs[0];
  for (double& v : y) v *= attributes.Float("factor");
  return {y};
}

std::vector<Values> Inverse(const Attributes&, const std::vector<TensorType>&,
                            const std::vector<Values>& inputs) {
  Values y = inputs[0];
  for (double& v : y) v = 1 / v;
  return {y};
}

TEST(ScaleTest, MatchesReference) {
  for (const Shape& shape :
       {Shape{}, Shape{3, 7}, Shape{2, 16, 3, 5}, Shape{40000}}) {
    OpCase op_case;
    op_case.op = "scale";
    op_case.attributes = {{"factor", -0.625}};
    op_case.inputs = {{DataType::kFloat32, shape}};
    ExpectMatchesReference(op_case, Scaled);
  }
}

TEST(ScaleTest, GradientMatches) {
  OpCase op_case;
  op_case.op = "scale";
  op_case.attributes = {{"factor", 1.5}};
  op_case.inputs = {{DataType::kFloat32, {4, 5}}};
  ExpectGradientMatches(op_case, Scaled);
}

TEST(ReciprocalTest, MatchesReference) {
  for (const Shape& shape : {Shape{}, Shape{3, 7}}) {
    OpCase op_case;
    op_case.op = "reciprocal";
    op_case.inputs = {{DataType::kFloat32, shape}};
    op_case.domains = {{0.25, 8}};
    ExpectMatchesReference(op_case, Inverse);
  }
}

TEST(ReciprocalTest, IsForFloat32) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId x = builder.Add1(
      "fill", "x", {},
      {{"shape", std::vector<int64_t>{2}}, {"dtype", std::string("float16")}});
  EXPECT_EQ(
      builder.Add("reciprocal", "y", {x}).status(),
      absl::InvalidArgumentError("y: input x is float16[2]; expected float32"));
}

}  // namespace
}  // namespace facet::ops
