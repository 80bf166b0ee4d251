#include "placement/passes/apply_precision.h"

#include <set>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "placement/passes/append_optimizer.h"
#include "placement/passes/autodiff.h"
#include "placement/passes/small_network.h"

namespace facet::placement {
namespace {

using ops::DataType;
using ops::TensorId;

ops::Graph Training(double loss_scale) {
  const SmallNetwork network = MakeSmallNetwork();
  absl::StatusOr<DifferentiatedGraph> differentiated =
      Autodiff(network.graph, network.loss, loss_scale, ops::FindOp);
  CHECK(differentiated.ok()) << differentiated.status();
  absl::StatusOr<ops::Graph> graph =
      AppendOptimizer(*std::move(differentiated), {}, ops::FindOp);
  CHECK(graph.ok()) << graph.status();
  return *std::move(graph);
}

ops::Graph InHalf(const ops::Graph& graph, DataType half) {
  absl::StatusOr<ops::Graph> result = ApplyPrecision(graph, half, ops::FindOp);
  CHECK(result.ok()) << result.status();
  const absl::Status verified = ops::VerifyGraph(*result, ops::FindOp);
  CHECK(verified.ok()) << verified;
  return *std::move(result);
}

DataType TypeOf(const ops::Graph& graph, const std::string& tensor) {
  const TensorId id = ops::FindTensor(graph, tensor);
  CHECK_NE(id, ops::kNone) << tensor;
  return graph.tensors[id].type.dtype;
}

TEST(ApplyPrecisionTest, HalfWhereTheRulesAllowIt) {
  const ops::Graph graph = InHalf(Training(0), DataType::kBFloat16);
  for (const char* half : {"conv1", "bn1", "prelu", "conv2", "block", "flatten",
                           "conv2/conv2d_grad_input",
                           "bn1/batch_norm_grad_input", "prelu/prelu_grad"}) {
    EXPECT_EQ(TypeOf(graph, half), DataType::kBFloat16) << half;
  }
  for (const char* single :
       {"images", "conv1.weight", "conv1.weight.momentum", "bn1/statistics",
        "conv2/conv2d_grad_weight", "prelu/prelu_grad:1", "fc/matmul", "fc",
        "fc/matmul/matmul", "fc/matmul/matmul_2", "head.cosines", "loss"}) {
    EXPECT_EQ(TypeOf(graph, single), DataType::kFloat32) << single;
  }
}

TEST(ApplyPrecisionTest, OneCastPerTensorAndType) {
  const ops::Graph graph = InHalf(Training(0), DataType::kFloat16);
  std::set<std::pair<TensorId, std::string>> seen;
  for (const ops::Node& node : graph.nodes) {
    if (node.op != "cast") continue;
    const std::string& dtype = node.attributes.String("dtype");
    EXPECT_TRUE(seen.emplace(node.inputs[0], dtype).second) << node.name;
    EXPECT_EQ(node.name, graph.tensors[node.inputs[0]].name + "/cast_" + dtype);
    EXPECT_NE(graph.tensors[node.inputs[0]].type.dtype,
              graph.tensors[node.outputs[0]].type.dtype);
  }
  // The weight's cast serves the forward and the backward pass.
  const ops::Node& cast = NodeOf(graph, "conv2.weight/cast_float16");
  EXPECT_EQ(NodeOf(graph, "conv2").inputs[1], cast.outputs[0]);
  EXPECT_EQ(NodeOf(graph, "conv2/conv2d_grad_input").inputs[1],
            cast.outputs[0]);
  EXPECT_EQ(cast.origin.layer, "conv2");
  EXPECT_EQ(cast.origin.phase, ops::Phase::kForward);
  // Into and out of the part that stays in float32.
  EXPECT_EQ(CountOp(graph, "cast"), 5);
  EXPECT_EQ(NodeOf(graph, "fc/matmul").inputs[0],
            NodeOf(graph, "flatten/cast_float32").outputs[0]);
}

TEST(ApplyPrecisionTest, NothingToDoInFloat32Parts) {
  ops::Graph graph = Training(0);
  for (ops::Node& node : graph.nodes) node.origin.keep_float32 = true;
  const ops::Graph same = InHalf(graph, DataType::kBFloat16);
  EXPECT_EQ(CountOp(same, "cast"), 0);
  EXPECT_EQ(same.nodes.size(), graph.nodes.size());
}

TEST(ApplyPrecisionTest, FollowersFollowTheirFirstOperand) {
  ops::Graph graph;
  ops::GraphBuilder builder(&graph, ops::FindOp);
  const std::vector<int64_t> shape = {4, 4};
  const TensorId a = builder.Add1("fill", "a", {}, {{"shape", shape}});
  const TensorId half = builder.Add1("matmul", "half", {a, a});
  builder.Add1("add_n", "first_half", {half, a, a});
  builder.Add1("add_n", "first_single", {a, half, half});
  builder.Add1("add", "mixed", {half, a});
  ASSERT_TRUE(builder.status().ok()) << builder.status();
  const ops::Graph result = InHalf(graph, DataType::kBFloat16);
  EXPECT_EQ(TypeOf(result, "first_half"), DataType::kBFloat16);
  EXPECT_EQ(TypeOf(result, "first_single"), DataType::kFloat32);
  EXPECT_EQ(TypeOf(result, "mixed"), DataType::kBFloat16);
  EXPECT_EQ(CountOp(result, "cast"), 2);  // a to half, half to float32.
}

// A gradient that comes out in half updates a float32 variable.
TEST(ApplyPrecisionTest, UpdatesAreInFloat32) {
  ops::Graph graph = Training(0);
  for (ops::Node& node : graph.nodes) node.origin.keep_float32 = false;
  const ops::Graph result = InHalf(graph, DataType::kBFloat16);
  EXPECT_EQ(TypeOf(result, "fc/matmul"), DataType::kBFloat16);
  EXPECT_EQ(TypeOf(result, "fc/matmul/matmul_2"), DataType::kBFloat16);
  const ops::Node& update = NodeOf(result, "fc.weight/sgd_update");
  EXPECT_EQ(result.tensors[update.inputs[2]].name,
            "fc/matmul/matmul_2/cast_float32");
}

// Normalisation, its gradient and the update take what is stored in half as it
// is, and compute in float32.
TEST(ApplyPrecisionTest, VariablesStoredInHalfAreReadAsTheyAre) {
  SmallNetwork network = MakeSmallNetwork();
  for (ops::Node& node : network.graph.nodes) {
    if (node.name != "head.weight") continue;
    node.attributes.Set("dtype", std::string("bfloat16"));
    node.attributes.Set("momentum_dtype", std::string("bfloat16"));
    network.graph.tensors[node.outputs[0]].type.dtype = DataType::kBFloat16;
  }
  absl::StatusOr<DifferentiatedGraph> differentiated =
      Autodiff(network.graph, network.loss, 0, ops::FindOp);
  ASSERT_TRUE(differentiated.ok()) << differentiated.status();
  const absl::StatusOr<ops::Graph> before =
      AppendOptimizer(*std::move(differentiated), {}, ops::FindOp);
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(TypeOf(*before, "head.weight.momentum"), DataType::kBFloat16);
  EXPECT_EQ(TypeOf(*before, "conv1.weight.momentum"), DataType::kFloat32);

  for (DataType half : {DataType::kBFloat16, DataType::kFloat16}) {
    const ops::Graph graph = InHalf(*before, half);
    EXPECT_EQ(TypeOf(graph, "head.cosines"), DataType::kFloat32);
    int readers = 0;
    for (const ops::Node& node : graph.nodes) {
      for (TensorId input : node.inputs) {
        const std::string& name = graph.tensors[input].name;
        if (name != "head.weight" && name != "head.weight.momentum") continue;
        EXPECT_NE(node.op, "cast") << node.name;
        ++readers;
      }
    }
    // Forward, backward, and the update of both.
    EXPECT_EQ(readers, 4);
  }
  SmallRun single(Training(0)), stored(InHalf(*before, DataType::kBFloat16));
  for (int step = 0; step < 4; ++step) {
    single.Step();
    stored.Step();
    EXPECT_NEAR(stored.Scalar("loss"), single.Scalar("loss"),
                0.03 * single.Scalar("loss"));
  }
}

TEST(ApplyPrecisionTest, TrainsAsInFloat32) {
  const ops::Graph graph = Training(0);
  SmallRun single(graph);
  SmallRun bfloat16(InHalf(graph, DataType::kBFloat16));
  SmallRun float16(InHalf(Training(128), DataType::kFloat16));
  for (int step = 0; step < 4; ++step) {
    single.Step();
    bfloat16.Step();
    float16.Step();
    const double loss = single.Scalar("loss");
    EXPECT_NEAR(bfloat16.Scalar("loss"), loss, 0.02 * loss) << step;
    EXPECT_NEAR(float16.Scalar("loss"), loss, 0.005 * loss) << step;
  }
  EXPECT_EQ(float16.Scalar("loss_scale_good_steps"), 4);
}

}  // namespace
}  // namespace facet::placement
