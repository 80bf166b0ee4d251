#include "placement/passes/fuse.h"

#include <string>
#include <vector>

#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/fusion.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/passes/append_optimizer.h"
#include "placement/passes/autodiff.h"
#include "placement/passes/small_network.h"

namespace facet::placement {
namespace {

using ops::FusionContext;
using ops::NodeId;
using ops::TensorId;
using ::testing::HasSubstr;

// Two scales in a row become one.
absl::Status MergeScales(FusionContext* context) {
  const auto count = static_cast<NodeId>(context->graph().nodes.size());
  for (NodeId n = 0; n < count; ++n) {
    const ops::Node outer = context->graph().nodes[n];
    if (context->dropped(n) || outer.op != "scale") continue;
    const NodeId producer = context->graph().tensors[outer.inputs[0]].producer;
    const ops::Node inner = context->graph().nodes[producer];
    if (inner.op != "scale" || context->dropped(producer)) continue;
    const double factor =
        inner.attributes.Float("factor") * outer.attributes.Float("factor");
    ASSIGN_OR_RETURN(
        const std::vector<TensorId> merged,
        context->Add("scale", {inner.inputs[0]}, {{"factor", factor}}, n));
    context->Redirect(outer.outputs[0], merged[0]);
    context->Drop(n);
    context->Log(outer.name + " took in " + inner.name);
    return absl::OkStatus();  // One a round: the pass must come back.
  }
  return absl::OkStatus();
}

std::vector<ops::OpDef> Rules(
    std::function<absl::Status(FusionContext*)> rule) {
  std::vector<ops::OpDef> defs(2);
  defs[0].name = "without_rule";
  defs[1].name = "with_rule";
  defs[1].fuse = std::move(rule);
  return defs;
}

ops::Graph Scales() {
  ops::Graph graph;
  ops::GraphBuilder builder(&graph, ops::FindOp);
  TensorId x =
      builder.Add1("fill", "x", {}, {{"shape", std::vector<int64_t>{2}}});
  for (double factor : {2.0, 3.0, 5.0, 7.0}) {
    x = builder.Add1("scale", "s", {x}, {{"factor", factor}});
  }
  builder.Add1("fetch", "fetch", {x}, {{"name", std::string("x")}});
  CHECK(builder.status().ok()) << builder.status();
  return graph;
}

TEST(FuseTest, RunsRulesUntilNothingChanges) {
  const absl::StatusOr<ops::Graph> fused =
      Fuse(Scales(), Rules(MergeScales), FuseRules::kAll, ops::FindOp);
  ASSERT_TRUE(fused.ok()) << fused.status();
  EXPECT_TRUE(ops::VerifyGraph(*fused, ops::FindOp).ok());
  ASSERT_EQ(fused->nodes.size(), 3u);
  EXPECT_EQ(fused->nodes[1].op, "scale");
  EXPECT_EQ(fused->nodes[1].attributes.Float("factor"), 210);
  EXPECT_EQ(fused->nodes[1].inputs, fused->nodes[0].outputs);
  EXPECT_EQ(fused->nodes[2].inputs, fused->nodes[1].outputs);
}

TEST(FuseTest, ErrorsNameTheRule) {
  absl::Status status = Fuse(Scales(), Rules([](FusionContext*) {
                               return absl::InternalError("went wrong");
                             }),
                             FuseRules::kAll, ops::FindOp)
                            .status();
  EXPECT_EQ(status.message(), "fuse rule of with_rule: went wrong");
  // One that never ends.
  status = Fuse(Scales(), Rules([](FusionContext* context) {
                  context->Log("again");
                  return absl::OkStatus();
                }),
                FuseRules::kAll, ops::FindOp)
               .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("still rewrite"));
}

// The fused graph trains as its unfused twin.
TEST(FuseTest, TheOpsOwnRulesKeepTheResults) {
  for (double loss_scale : {0.0, 256.0}) {
    const SmallNetwork network = MakeSmallNetwork();
    absl::StatusOr<DifferentiatedGraph> differentiated =
        Autodiff(network.graph, network.loss, loss_scale, ops::FindOp);
    ASSERT_TRUE(differentiated.ok()) << differentiated.status();
    const absl::StatusOr<ops::Graph> plain =
        AppendOptimizer(*std::move(differentiated), {}, ops::FindOp);
    ASSERT_TRUE(plain.ok()) << plain.status();
    const absl::StatusOr<ops::Graph> fused =
        Fuse(*plain, ops::AllOps(), FuseRules::kAll, ops::FindOp);
    ASSERT_TRUE(fused.ok()) << fused.status();
    const absl::Status verified = ops::VerifyGraph(*fused, ops::FindOp);
    ASSERT_TRUE(verified.ok()) << verified;
    EXPECT_EQ(CountOp(*fused, "cosine_linear_sgd"), 1);
    EXPECT_LT(fused->nodes.size(), plain->nodes.size());
    SmallRun a(*plain), b(*fused);
    for (int step = 0; step < 3; ++step) {
      a.Step();
      b.Step();
      EXPECT_NEAR(b.Scalar("loss"), a.Scalar("loss"), 1e-4);
    }
    for (const char* name : {"head.weight", "conv1.weight"}) {
      const std::vector<double> want = a.Get(name), got = b.Get(name);
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_NEAR(got[i], want[i], 1e-4) << name << " element " << i;
      }
    }
  }
}

}  // namespace
}  // namespace facet::placement
