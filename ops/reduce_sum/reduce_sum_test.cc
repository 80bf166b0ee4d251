#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

std::vector<Values> Sum(const Attributes& attributes,
                        const std::vector<TensorType>& types,
                        const std::vector<Values>& inputs) {
  const int axis = static_cast<int>(attributes.Int("axis"));
  const Shape& shape = types[0].shape;
  const int64_t rows = shape[axis];
  const int64_t inner = shape.num_elements(axis + 1, shape.rank());
  Values y(shape.num_elements() / rows);
  for (int64_t i = 0; i < shape.num_elements(); ++i) {
    y[i / (rows * inner) * inner + i % inner] += inputs[0][i];
  }
  return {y};
}

OpCase Case(int64_t axis, Shape shape) {
  OpCase op_case;
  op_case.op = "reduce_sum";
  op_case.attributes = {{"axis", axis}};
  op_case.inputs = {{DataType::kFloat32, std::move(shape)}};
  return op_case;
}

TEST(ReduceSumTest, MatchesReferenceAlongEveryAxis) {
  for (const Shape& shape :
       {Shape{77}, Shape{9, 70}, Shape{70, 9}, Shape{3, 40, 35},
        Shape{2, 3, 4, 5}, Shape{1, 64}, Shape{300, 200}}) {
    for (int axis = 0; axis < shape.rank(); ++axis) {
      ExpectMatchesReference(Case(axis, shape), Sum);
    }
  }
}

TEST(ReduceSumTest, SplitsMoveAlong) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId x =
      builder.Add1("fill", "x", {}, {{"shape", std::vector<int64_t>{4, 5, 6}}});
  builder.Add1("reduce_sum", "y", {x}, {{"axis", int64_t{1}}});
  ASSERT_TRUE(builder.status().ok()) << builder.status();
  const NodeCall node(graph, 1);
  const std::vector<Signature> signatures =
      LegalSignatures(*FindOp("reduce_sum"), node.call(), 2);
  EXPECT_THAT(signatures, ::testing::UnorderedElementsAre(
                              Signature{{Sbp::B()}, {Sbp::B()}},
                              Signature{{Sbp::PSum()}, {Sbp::PSum()}},
                              Signature{{Sbp::S(0)}, {Sbp::S(0)}},
                              Signature{{Sbp::S(1)}, {Sbp::PSum()}},
                              Signature{{Sbp::S(2)}, {Sbp::S(1)}}));
}

TEST(ReduceSumTest, RefusesAnAxisThatIsNotThere) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId x =
      builder.Add1("fill", "x", {}, {{"shape", std::vector<int64_t>{4, 5}}});
  for (int64_t axis : {-1, 2}) {
    EXPECT_THAT(
        std::string(builder.Add("reduce_sum", "y", {x}, {{"axis", axis}})
                        .status()
                        .message()),
        ::testing::HasSubstr("must be in [0, 2)"));
  }
}

}  // namespace
}  // namespace facet::ops
