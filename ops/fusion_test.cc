#include "ops/fusion.h"

#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/given_op.h"

namespace facet::ops {
namespace {

// Every node is an anchor; the rewrite of the first drops the second and adds
// one.
TEST(FusionContext, RewritesAroundWhatIsThereAndStays) {
  Graph graph;
  GraphBuilder builder(&graph, FindOpOrGiven);
  for (const char* name : {"a", "b", "c"}) {
    AddGiven(&builder, name, {DataType::kFloat32, {2}});
  }
  FusionContext context(&builder);
  std::vector<NodeId> rewritten;
  const absl::Status status = context.RewriteAll(
      [](NodeId node) { return std::optional<NodeId>(node); },
      [&](NodeId node) {
        rewritten.push_back(node);
        if (node > 0) return absl::OkStatus();
        context.Drop(1);
        return context.Add("add", {0, 2}, {}, node).status();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(graph.nodes.size(), 4u);
  EXPECT_EQ(rewritten, (std::vector<NodeId>{0, 2}));
}

TEST(FusionContext, TheFirstErrorEndsIt) {
  Graph graph;
  GraphBuilder builder(&graph, FindOpOrGiven);
  for (const char* name : {"a", "b"}) {
    AddGiven(&builder, name, {DataType::kFloat32, {2}});
  }
  FusionContext context(&builder);
  int rewrites = 0;
  const absl::Status status = context.RewriteAll(
      [](NodeId node) { return std::optional<NodeId>(node); },
      [&](NodeId) {
        ++rewrites;
        return absl::InternalError("no");
      });
  EXPECT_EQ(status, absl::InternalError("no"));
  EXPECT_EQ(rewrites, 1);
}

}  // namespace
}  // namespace facet::ops
