#include "placement/passes/prune.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"

namespace facet::placement {
namespace {

using ops::TensorId;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PruneTest : public ::testing::Test {
 protected:
  PruneTest() : builder_(&graph_, ops::FindOp) {}

  TensorId Fill(const std::string& name) {
    return builder_.Add1("fill", name, {},
                         {{"shape", std::vector<int64_t>{3}}});
  }
  TensorId Scale(const std::string& name, TensorId x) {
    return builder_.Add1("scale", name, {x}, {{"factor", 2.0}});
  }
  void Fetch(const std::string& name, TensorId x) {
    builder_.Add1("fetch", name, {x}, {{"name", name}});
  }
  absl::StatusOr<ops::Graph> Pruned(std::vector<bool> dropped = {},
                                    std::vector<TensorId> keep = {}) {
    return Prune(graph_, dropped, keep, ops::FindOp);
  }
  static std::vector<std::string> Names(const ops::Graph& graph) {
    std::vector<std::string> names;
    for (const ops::Node& node : graph.nodes) names.push_back(node.name);
    return names;
  }

  ops::Graph graph_;
  ops::GraphBuilder builder_;
};

TEST_F(PruneTest, RemovesWhatNobodyNeeds) {
  const TensorId a = Fill("a");
  Scale("unused", Scale("unused_too", a));
  const TensorId kept = Scale("kept", a);
  Fetch("fetch", Scale("b", a));
  const absl::StatusOr<ops::Graph> pruned = Pruned();
  ASSERT_TRUE(pruned.ok()) << pruned.status();
  EXPECT_THAT(Names(*pruned), ElementsAre("a", "b", "fetch"));
  EXPECT_TRUE(ops::VerifyGraph(*pruned, ops::FindOp).ok());
  EXPECT_THAT(Names(*Pruned({}, {kept})),
              ElementsAre("a", "kept", "b", "fetch"));
}

TEST_F(PruneTest, PutsLateNodesDirectlyBeforeTheirReader) {
  const TensorId a = Fill("a");
  const TensorId b = Scale("b", a);
  const TensorId c = Scale("c", a);
  Fetch("fetch_b", b);
  Fetch("fetch_c", c);
  const TensorId late = Scale("late", Fill("later"));
  for (TensorId& input : graph_.nodes[2].inputs) input = late;
  const absl::StatusOr<ops::Graph> pruned = Pruned();
  ASSERT_TRUE(pruned.ok()) << pruned.status();
  EXPECT_THAT(Names(*pruned), ElementsAre("a", "b", "later", "late", "c",
                                          "fetch_b", "fetch_c"));
  EXPECT_TRUE(ops::VerifyGraph(*pruned, ops::FindOp).ok());
}

TEST_F(PruneTest, DroppedNodesMustHaveNoReaders) {
  const TensorId a = Fill("a");
  const TensorId b = Scale("b", a);
  Scale("c", b);
  Fetch("fetch", a);
  // c would read b, but nobody needs c.
  EXPECT_THAT(Names(*Pruned({false, true})), ElementsAre("a", "fetch"));
  // A node with a side effect may be dropped.
  EXPECT_TRUE(Pruned({false, false, false, true})->nodes.empty());
  const absl::Status status = Pruned({true}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("fetch needs a, which was dropped"));
}

TEST_F(PruneTest, FindsCycles) {
  const TensorId a = Fill("a");
  const TensorId b = Scale("b", a);
  const TensorId c = Scale("c", b);
  Fetch("fetch", c);
  graph_.nodes[1].inputs[0] = c;
  const absl::Status status = Pruned().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cycle"));
}

TEST_F(PruneTest, ChainsMayBeLong) {
  TensorId x = Fill("x");
  for (int i = 0; i < 100000; ++i) x = Scale("s", x);
  Fetch("fetch", x);
  EXPECT_EQ(Pruned()->nodes.size(), 100002u);
}

}  // namespace
}  // namespace facet::placement
