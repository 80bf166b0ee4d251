#include "placement/passes/autodiff.h"

#include <cmath>
#include <string>

#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "placement/passes/small_network.h"

namespace facet::placement {
namespace {

using ops::TensorId;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Name(const ops::Graph& graph, TensorId tensor) {
  return graph.tensors[tensor].name;
}

// Along a random direction, the loss changes as the gradients say.
TEST(AutodiffTest, GradientsAreDerivatives) {
  const SmallNetwork network = MakeSmallNetwork();
  const absl::StatusOr<DifferentiatedGraph> result =
      Autodiff(network.graph, network.loss, 0, ops::FindOp);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_TRUE(ops::VerifyGraph(result->graph, ops::FindOp).ok());
  EXPECT_EQ(result->loss_scale, ops::kNone);
  SmallRun run(result->graph);
  run.Step();
  std::vector<std::string> variables;
  for (const auto& [variable, gradient] : result->gradients) {
    const std::string name = Name(result->graph, variable);
    variables.push_back(name);
    const std::vector<double> value = run.Get(name);
    const std::vector<double> derivative =
        run.Get(Name(result->graph, gradient));
    std::vector<double> direction(value.size());
    double expected = 0;
    double length = 0;
    for (size_t i = 0; i < value.size(); ++i) {
      // Mostly along the gradient, so that the change is not mere noise.
      direction[i] = derivative[i] * (1 + 0.5 * std::sin(3.0 * i));
      length += direction[i] * direction[i];
    }
    ASSERT_GT(length, 1e-8) << name;
    const double step = 5e-3 / std::sqrt(length);
    for (size_t i = 0; i < value.size(); ++i) {
      direction[i] *= step;
      expected += 2 * direction[i] * derivative[i];
    }
    double change = 0;
    for (double sign : {1.0, -1.0}) {
      std::vector<double> moved = value;
      for (size_t i = 0; i < value.size(); ++i) {
        moved[i] += sign * direction[i];
      }
      SmallRun other(result->graph);
      other.Set(name, moved);
      other.Step();
      change += sign * other.Scalar("loss");
    }
    EXPECT_NEAR(change, expected, 0.01 * expected + 1e-6) << name;
  }
  EXPECT_THAT(variables, ElementsAre("conv1.weight", "bn1.weight", "bn1.bias",
                                     "prelu.weight", "conv2.weight",
                                     "fc.weight", "fc.bias", "head.weight"));
}

TEST(AutodiffTest, ComputesOnlyWhatIsWanted) {
  const SmallNetwork network = MakeSmallNetwork();
  const absl::StatusOr<DifferentiatedGraph> result =
      Autodiff(network.graph, network.loss, 0, ops::FindOp);
  ASSERT_TRUE(result.ok()) << result.status();
  // Nobody wants the gradient by the images.
  EXPECT_EQ(CountOp(result->graph, "conv2d_grad_weight"), 2);
  EXPECT_EQ(CountOp(result->graph, "conv2d_grad_input"), 1);
  // The forward part is what it was, and all that is new is backward.
  const size_t forward = network.graph.nodes.size();
  for (size_t n = 0; n < result->graph.nodes.size(); ++n) {
    const ops::Node& node = result->graph.nodes[n];
    if (n < forward) {
      EXPECT_EQ(node.name, network.graph.nodes[n].name);
      EXPECT_EQ(node.origin.phase, ops::Phase::kForward) << node.name;
    } else {
      EXPECT_EQ(node.origin.phase, ops::Phase::kBackward) << node.name;
    }
  }
  const ops::Node& conv = NodeOf(result->graph, "conv2/conv2d_grad_weight");
  EXPECT_EQ(conv.origin.layer, "conv2");
  EXPECT_EQ(conv.origin.part, "backbone");
  EXPECT_TRUE(NodeOf(result->graph, "fc/matmul/matmul").origin.keep_float32);
}

TEST(AutodiffTest, LossScaleMultipliesAllGradients) {
  const SmallNetwork network = MakeSmallNetwork();
  const absl::StatusOr<DifferentiatedGraph> plain =
      Autodiff(network.graph, network.loss, 0, ops::FindOp);
  const absl::StatusOr<DifferentiatedGraph> scaled =
      Autodiff(network.graph, network.loss, 1024, ops::FindOp);
  ASSERT_TRUE(plain.ok() && scaled.ok());
  EXPECT_EQ(Name(scaled->graph, scaled->loss_scale), "loss_scale");
  ASSERT_EQ(plain->gradients.size(), scaled->gradients.size());
  SmallRun plain_run(plain->graph), scaled_run(scaled->graph);
  plain_run.Step();
  scaled_run.Step();
  EXPECT_EQ(scaled_run.Scalar("loss"), plain_run.Scalar("loss"));
  for (size_t i = 0; i < plain->gradients.size(); ++i) {
    const std::vector<double> a =
        plain_run.Get(Name(plain->graph, plain->gradients[i].second));
    const std::vector<double> b =
        scaled_run.Get(Name(scaled->graph, scaled->gradients[i].second));
    for (size_t e = 0; e < a.size(); ++e) {
      // A power of two: no rounding, unless in sums of another order.
      EXPECT_NEAR(b[e], 1024 * a[e], 1e-3 + 1e-5 * std::abs(b[e]));
    }
  }
}

class AutodiffGraphTest : public ::testing::Test {
 protected:
  AutodiffGraphTest() : builder_(&graph_, ops::FindOp) {}

  TensorId Variable(const std::string& name, std::vector<int64_t> shape,
                    bool trainable = true) {
    return builder_.Add1(
        "variable", name, {},
        {{"shape", std::move(shape)}, {"trainable", trainable}});
  }
  TensorId Scale(const std::string& name, TensorId x, double factor) {
    return builder_.Add1("scale", name, {x}, {{"factor", factor}});
  }
  absl::StatusOr<DifferentiatedGraph> Differentiate(TensorId loss) {
    CHECK(builder_.status().ok()) << builder_.status();
    return Autodiff(graph_, loss, 0, ops::FindOp);
  }

  ops::Graph graph_;
  ops::GraphBuilder builder_;
};

TEST_F(AutodiffGraphTest, AddsReadersInGraphOrder) {
  const TensorId w = Variable("w", {});
  const TensorId a = Scale("a", w, 2);
  const TensorId b = Scale("b", w, 3);
  const TensorId c = Scale("c", w, 5);
  const TensorId loss = builder_.Add1("add_n", "loss", {c, a, b, w});
  const absl::StatusOr<DifferentiatedGraph> result = Differentiate(loss);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->gradients.size(), 1u);
  const ops::Graph& graph = result->graph;
  const ops::Node& sum = NodeOf(graph, "w/gradient");
  EXPECT_EQ(sum.op, "add_n");
  EXPECT_EQ(result->gradients[0].second, sum.outputs[0]);
  std::vector<std::string> parts;
  for (TensorId t : sum.inputs) parts.push_back(Name(graph, t));
  EXPECT_THAT(parts,
              ElementsAre("a/scale", "b/scale", "c/scale", "loss/gradient"));
}

TEST_F(AutodiffGraphTest, ATensorReadTwiceByOneNode) {
  const TensorId w = Variable("w", {});
  const TensorId loss = builder_.Add1("add", "loss", {w, w});
  const absl::StatusOr<DifferentiatedGraph> result = Differentiate(loss);
  ASSERT_TRUE(result.ok()) << result.status();
  const ops::Node& sum = NodeOf(result->graph, "w/gradient");
  EXPECT_EQ(sum.op, "add");
  EXPECT_EQ(sum.inputs[0], sum.inputs[1]);
}

TEST_F(AutodiffGraphTest, FrozenAndUnusedVariablesHaveNoGradient) {
  const TensorId used = Variable("used", {});
  const TensorId frozen = Variable("frozen", {}, false);
  Scale("elsewhere", Variable("unused", {}), 2);
  const TensorId loss =
      builder_.Add1("add", "loss", {Scale("f", frozen, 2), used});
  const absl::StatusOr<DifferentiatedGraph> result = Differentiate(loss);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->gradients.size(), 1u);
  EXPECT_EQ(Name(result->graph, result->gradients[0].first), "used");
  // No work for the frozen one.
  EXPECT_EQ(CountOp(result->graph, "scale"), 2);
}

TEST_F(AutodiffGraphTest, RowsOfAVariableHaveTheGradientOfTheirReader) {
  const TensorId w = Variable("w", {5, 3});
  const TensorId rows = builder_.Add1(
      "fill", "rows", {},
      {{"shape", std::vector<int64_t>{2, 2}}, {"dtype", std::string("int32")}});
  const TensorId some = builder_.Add1("gather_rows", "some", {w, rows});
  const TensorId product =
      builder_.Add1("matmul", "p", {some, some}, {{"transpose_b", true}});
  const TensorId loss = AddLoss("loss", product, &builder_);
  const absl::StatusOr<DifferentiatedGraph> result = Differentiate(loss);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->gradients.size(), 1u);
  EXPECT_EQ(Name(result->graph, result->gradients[0].first), "w");
  EXPECT_EQ(Name(result->graph, result->gradients[0].second), "some/gradient");
  ASSERT_EQ(result->rows.count(w), 1u);
  EXPECT_EQ(result->rows.at(w).rows, rows);
  EXPECT_EQ(result->graph.nodes[result->rows.at(w).reader].name, "some");
}

TEST_F(AutodiffGraphTest, RowsAreOfAVariableThatNothingElseReads) {
  const TensorId w = Variable("w", {5, 3});
  const TensorId rows = builder_.Add1(
      "fill", "rows", {},
      {{"shape", std::vector<int64_t>{1, 5}}, {"dtype", std::string("int32")}});
  const TensorId scaled = Scale("scaled", w, 2);
  absl::Status status =
      Differentiate(AddLoss("la",
                            builder_.Add1("gather_rows", "a", {scaled, rows}),
                            &builder_))
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("a takes rows of scaled, which is not a variable"));
  status =
      Differentiate(AddLoss("lb", builder_.Add1("gather_rows", "b", {w, rows}),
                            &builder_))
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("it must be its only reader, but scaled reads it"));
}

TEST_F(AutodiffGraphTest, ImpossibleLosses) {
  const TensorId vector = Scale("v", Variable("w", {3}), 2);
  absl::Status status = Differentiate(vector).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the loss v is float32[3]; expected a scalar"));
  const TensorId constant = Scale("c", Variable("frozen", {}, false), 2);
  status = Differentiate(constant).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the loss c depends on no trainable variable"));
}

}  // namespace
}  // namespace facet::placement
