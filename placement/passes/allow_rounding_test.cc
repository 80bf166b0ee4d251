#include "placement/passes/allow_rounding.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/may_round_attribute.h"
#include "ops/op_table.h"

namespace facet::placement {
namespace {

using testing::ElementsAre;
using testing::Pair;

// By op of those that have the attribute.
std::map<std::string, bool> MayRound(Rounding rounding) {
  ops::Graph graph;
  ops::GraphBuilder builder(&graph, ops::FindOp);
  auto fill = [&](const std::string& name, std::vector<int64_t> shape) {
    return builder.Add1("fill", name, {}, {{"shape", std::move(shape)}});
  };
  const ops::TensorId images = fill("images", {1, 2, 4, 4});
  const ops::TensorId kernel = fill("kernel", {2, 2, 1, 1});
  const ops::TensorId matrix = fill("matrix", {4, 4});
  const int64_t side = 4, one = 1;
  builder.Add1("conv2d", "y", {images, kernel});
  builder.Add1("conv2d_grad_input", "dx", {images, kernel},
               {{"height", side}, {"width", side}});
  builder.Add1("conv2d_grad_weight", "dw", {images, images},
               {{"kernel_height", one}, {"kernel_width", one}});
  builder.Add1("matmul", "product", {matrix, matrix});
  EXPECT_TRUE(builder.status().ok()) << builder.status();

  // What was set before does not matter.
  graph = AllowRounding(std::move(graph), Rounding::kAll, ops::FindOp);
  graph = AllowRounding(std::move(graph), rounding, ops::FindOp);
  std::map<std::string, bool> may_round;
  for (const ops::Node& node : graph.nodes) {
    if (!node.attributes.Has(ops::kMayRound)) continue;
    may_round[node.op] = node.attributes.Bool(ops::kMayRound);
  }
  return may_round;
}

TEST(AllowRoundingTest, SetsTheAttributeOfWhatIsAsked) {
  EXPECT_THAT(
      MayRound(Rounding::kNone),
      ElementsAre(Pair("conv2d", false), Pair("conv2d_grad_input", false),
                  Pair("conv2d_grad_weight", false), Pair("matmul", false)));
  EXPECT_THAT(
      MayRound(Rounding::kConvolutions),
      ElementsAre(Pair("conv2d", true), Pair("conv2d_grad_input", true),
                  Pair("conv2d_grad_weight", true), Pair("matmul", false)));
  EXPECT_THAT(
      MayRound(Rounding::kAll),
      ElementsAre(Pair("conv2d", true), Pair("conv2d_grad_input", true),
                  Pair("conv2d_grad_weight", true), Pair("matmul", true)));
}

}  // namespace
}  // namespace facet::placement
