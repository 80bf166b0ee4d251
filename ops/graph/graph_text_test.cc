#include "ops/graph/graph_text.h"

#include "gtest/gtest.h"

namespace facet::ops {
namespace {

TEST(GraphTextTest, ListsNodesInOrder) {
  Graph graph;
  graph.name = "small";
  graph.nodes = {
      {"in",
       "image_source",
       {{"batch_size", int64_t{2}}},
       {},
       {0, 1},
       {"in", "data", Phase::kData, false}},
      {"half",
       "scale",
       {{"factor", 0.5}, {"a", true}},
       {0},
       {2},
       {"norm", "head", Phase::kBackward, true}},
      {"out", "fetch", {}, {2, 1}, {}, {"out", "", Phase::kForward, false}}};
  graph.tensors = {{"in", {DataType::kFloat32, {2, 3}}, 0, 0},
                   {"in:1", {DataType::kInt32, {2}}, 0, 1},
                   {"half", {DataType::kBFloat16, {2, 3}}, 1, 0}};
  EXPECT_EQ(GraphText(graph),
            "graph small: 3 nodes, 3 tensors\n"
            "in, in:1 = image_source() {batch_size: 2} : float32[2, 3], "
            "int32[2]  # in data data\n"
            "half = scale(in) {a: true, factor: 0.5} : bfloat16[2, 3]  # norm "
            "head backward float32\n"
            "out = fetch(half, in:1)  # out - forward\n");
}

TEST(GraphTextTest, EmptyGraph) {
  EXPECT_EQ(GraphText(Graph()), "graph -: 0 nodes, 0 tensors\n");
}

}  // namespace
}  // namespace facet::ops
