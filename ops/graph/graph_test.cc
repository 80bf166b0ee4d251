// The plain values of the vocabulary: element types, shapes, layouts, graphs.

#include "ops/graph/graph.h"

#include <string>
#include <tuple>

#include "gtest/gtest.h"
#include "ops/graph/every.h"
#include "ops/graph/layout.h"

namespace facet::ops {
namespace {

TEST(DataTypeTest, NamesSizesAndBack) {
  for (const auto& [dtype, name, size] :
       {std::tuple(DataType::kFloat32, "float32", 4),
        std::tuple(DataType::kFloat16, "float16", 2),
        std::tuple(DataType::kBFloat16, "bfloat16", 2),
        std::tuple(DataType::kInt32, "int32", 4),
        std::tuple(DataType::kInt64, "int64", 8)}) {
    EXPECT_EQ(DataTypeName(dtype), name);
    EXPECT_EQ(SizeInBytes(dtype), size);
    const absl::StatusOr<DataType> parsed = ParseDataType(name);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, dtype);
  }
  const absl::Status status = ParseDataType("float64").status();
  EXPECT_EQ(status.message(),
            "unknown data type \"float64\": use float32, float16, bfloat16, "
            "int32 or int64");
}

TEST(DataTypeTest, Floating) {
  EXPECT_TRUE(IsFloating(DataType::kFloat32));
  EXPECT_FALSE(IsHalf(DataType::kFloat32));
  EXPECT_TRUE(IsHalf(DataType::kBFloat16));
  EXPECT_TRUE(IsFloating(DataType::kFloat16));
  EXPECT_FALSE(IsFloating(DataType::kInt32));
}

TEST(LayoutTest, NamesBlocksAndBack) {
  for (const auto& [layout, name, block] :
       {std::tuple(Layout::kRowMajor, "nchw", 1),
        std::tuple(Layout::kChannelsLast, "nhwc", 1),
        std::tuple(Layout::kBlocked8, "nChw8c", 8),
        std::tuple(Layout::kBlocked16, "nChw16c", 16)}) {
    EXPECT_EQ(LayoutName(layout), name);
    EXPECT_EQ(ChannelBlock(layout), block);
    const absl::StatusOr<Layout> parsed = ParseLayout(name);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, layout);
  }
  EXPECT_EQ(ParseLayout("NCHW").status().message(),
            "unknown layout \"NCHW\": use nchw, nhwc, nChw8c or nChw16c");
}

TEST(ShapeTest, CountsAndText) {
  const Shape shape = {2, 3, 4};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape.num_elements(), 24);
  EXPECT_EQ(shape.num_elements(1, 3), 12);
  EXPECT_EQ(shape.num_elements(2, 2), 1);
  EXPECT_EQ(shape.ToString(), "[2, 3, 4]");
  EXPECT_EQ(Shape().num_elements(), 1);
  EXPECT_EQ(Shape().ToString(), "[]");
  EXPECT_EQ((Shape{5, 0}).num_elements(), 0);
  // 2M classes x 512 does not fit 32 bits in bytes.
  EXPECT_EQ((TensorType{DataType::kFloat32, {2059906, 512}}).size_bytes(),
            int64_t{4218687488});
}

TEST(TensorTypeTest, TextAndEquality) {
  const TensorType type = {DataType::kBFloat16, {32, 512}};
  EXPECT_EQ(type.ToString(), "bfloat16[32, 512]");
  EXPECT_EQ(type, (TensorType{DataType::kBFloat16, {32, 512}}));
  EXPECT_NE(type, (TensorType{DataType::kFloat32, {32, 512}}));
  EXPECT_NE(type, (TensorType{DataType::kBFloat16, {32, 512, 1}}));
}

Node MakeNode(std::vector<TensorId> inputs, std::vector<TensorId> outputs) {
  Node node;
  node.inputs = std::move(inputs);
  node.outputs = std::move(outputs);
  return node;
}

TEST(GraphTest, ConsumersOncePerNodeInOrder) {
  Graph graph;
  graph.tensors.resize(3);
  graph.nodes = {MakeNode({}, {0}), MakeNode({0, 0}, {1}),
                 MakeNode({1, 0}, {2})};
  const std::vector<std::vector<NodeId>> consumers = ComputeConsumers(graph);
  EXPECT_EQ(consumers[0], (std::vector<NodeId>{1, 2}));
  EXPECT_EQ(consumers[1], (std::vector<NodeId>{2}));
  EXPECT_TRUE(consumers[2].empty());
}

// As its producer, or the reader that needs it most often.
TEST(GraphTest, InEveryHowManyStepsATensorIsNeeded) {
  Graph graph;
  graph.tensors.resize(4);
  graph.nodes = {MakeNode({}, {0}), MakeNode({}, {1}), MakeNode({0, 1}, {2}),
                 MakeNode({1}, {3})};
  for (int n = 0; n < 4; ++n) graph.tensors[n].producer = n;
  graph.nodes[2].origin.every = 4;
  EXPECT_EQ(ComputeEvery(graph), (std::vector<int>{4, 1, 4, 1}));
  graph.nodes[3].origin.every = 2;
  EXPECT_EQ(ComputeEvery(graph), (std::vector<int>{4, 2, 4, 2}));
}

TEST(GraphTest, RoundsBeginAtMultiplesAndEndBeforeThem) {
  std::string starts, ends;
  for (int64_t step = 0; step < 7; ++step) {
    starts += StartsRound(3, step) ? "x" : ".";
    ends += EndsRound(3, step) ? "x" : ".";
    EXPECT_TRUE(StartsRound(1, step) && EndsRound(1, step));
  }
  EXPECT_EQ(starts, "x..x..x");
  EXPECT_EQ(ends, "..x..x.");
}

TEST(GraphTest, FindsTensorsByName) {
  Graph graph;
  graph.tensors.resize(2);
  graph.tensors[0].name = "x";
  graph.tensors[1].name = "y";
  EXPECT_EQ(FindTensor(graph, "y"), 1);
  EXPECT_EQ(FindTensor(graph, "z"), kNone);
}

TEST(GraphTest, PhaseNames) {
  EXPECT_EQ(PhaseName(Phase::kData), "data");
  EXPECT_EQ(PhaseName(Phase::kForward), "forward");
  EXPECT_EQ(PhaseName(Phase::kBackward), "backward");
  EXPECT_EQ(PhaseName(Phase::kOptimizer), "optimizer");
}

}  // namespace
}  // namespace facet::ops
