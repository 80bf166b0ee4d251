#include "placement/passes/recompute.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "placement/passes/activations.h"
#include "placement/passes/append_optimizer.h"
#include "placement/passes/apply_precision.h"
#include "placement/passes/assign_sbp.h"
#include "placement/passes/autodiff.h"
#include "placement/passes/fuse.h"
#include "placement/passes/small_network.h"

namespace facet::placement {
namespace {

using ops::NodeId;
using ops::TensorId;

Cluster Devices(int count) {
  return UniformCluster(count, DeviceSpec(), MeshAxis());
}

ops::Graph Trained(const ops::Graph& graph, TensorId loss, bool fuse,
                   bool half) {
  auto differentiated = Autodiff(graph, loss, 0, ops::FindOp);
  CHECK(differentiated.ok()) << differentiated.status();
  auto trained = AppendOptimizer(*differentiated, {}, ops::FindOp);
  CHECK(trained.ok()) << trained.status();
  if (half) {
    trained = ApplyPrecision(*trained, ops::DataType::kBFloat16, ops::FindOp);
    CHECK(trained.ok()) << trained.status();
  }
  if (fuse) {
    trained = Fuse(*trained, ops::AllOps(), FuseRules::kAll, ops::FindOp);
    CHECK(trained.ok()) << trained.status();
  }
  return *std::move(trained);
}

PlacedGraph Placed(const ops::Graph& graph, int devices) {
  const auto assignment = AssignSbp(graph, Devices(devices), {}, ops::FindOp);
  CHECK(assignment.ok()) << assignment.status();
  auto placed = InsertBoxing(graph, *assignment, ops::FindOp);
  CHECK(placed.ok()) << placed.status();
  return *std::move(placed);
}

std::vector<Recomputable> Find(const ops::Graph& graph) {
  return FindRecomputable(graph, DeviceSpec(), ops::FindOp);
}

// In the placed graph.
std::vector<TensorId> Tensors(const ops::Graph& graph,
                              const std::vector<Recomputable>& found,
                              const PlacedGraph& placed) {
  std::vector<TensorId> tensors;
  for (const Recomputable& r : found) {
    tensors.push_back(
        ops::FindTensor(placed.graph, graph.tensors[r.tensor].name));
  }
  return tensors;
}

std::set<std::string> Names(const ops::Graph& graph,
                            const std::vector<Recomputable>& found) {
  std::set<std::string> names;
  for (const Recomputable& r : found) {
    names.insert(graph.tensors[r.tensor].name);
  }
  return names;
}

bool IsAgain(const ops::Node& node) {
  return absl::EndsWith(node.name, "/again");
}

// Whatever is dropped, steps give the same bits.
TEST(RecomputeTest, ResultsAreTheSame) {
  const SmallNetwork network = MakeSmallNetwork();
  for (bool fuse : {false, true}) {
    for (bool half : {false, true}) {
      SCOPED_TRACE(testing::Message() << "fused " << fuse << " half " << half);
      const ops::Graph graph = Trained(network.graph, network.loss, fuse, half);
      const PlacedGraph kept = Placed(graph, 1);
      const std::vector<TensorId> all = Tensors(graph, Find(graph), kept);
      ASSERT_GE(all.size(), 3);
      for (size_t count = 0; count <= all.size(); ++count) {
        const auto again =
            Recompute(kept, {all.begin(), all.begin() + count}, ops::FindOp);
        ASSERT_TRUE(again.ok()) << again.status();
        const absl::Status valid = ops::VerifyGraph(again->graph, ops::FindOp);
        ASSERT_TRUE(valid.ok()) << valid;
        SmallRun expected(kept.graph), run(again->graph);
        for (int step = 0; step < 2; ++step) {
          expected.Step();
          run.Step();
        }
        const std::string loss = network.graph.tensors[network.loss].name;
        EXPECT_EQ(run.Get(loss), expected.Get(loss));
        for (const ops::Node& node : kept.graph.nodes) {
          if (!ops::FindOp(node.op)->is_variable) continue;
          EXPECT_EQ(run.Get(node.name), expected.Get(node.name)) << node.name;
        }
      }
    }
  }
}

// No reader in the backward pass has what was to go, each copy is of a forward
// node, comes after all of that pass, and lies as the original.
TEST(RecomputeTest, NothingThatGoesIsReadInTheBackwardPass) {
  const SmallNetwork network = MakeSmallNetwork();
  const ops::Graph graph = Trained(network.graph, network.loss, true, false);
  const PlacedGraph kept = Placed(graph, 2);
  const std::vector<Recomputable> found = Find(graph);
  const auto again = Recompute(kept, Tensors(graph, found, kept), ops::FindOp);
  ASSERT_TRUE(again.ok()) << again.status();
  const std::set<std::string> gone = Names(graph, found);
  std::map<std::string, ops::NdSbp> sbp;  // Of the first output, by node.
  for (const ops::Node& node : kept.graph.nodes) {
    if (!node.outputs.empty()) sbp[node.name] = kept.sbp[node.outputs[0]];
  }
  std::set<std::string> copies;
  for (const ops::Node& node : again->graph.nodes) {
    if (node.origin.phase == ops::Phase::kForward ||
        node.origin.phase == ops::Phase::kData) {
      EXPECT_FALSE(IsAgain(node)) << node.name;
      continue;
    }
    for (TensorId t : node.inputs) {
      EXPECT_EQ(gone.count(again->graph.tensors[t].name), 0)
          << node.name << " reads " << again->graph.tensors[t].name;
    }
    if (!IsAgain(node)) continue;
    const std::string original(absl::StripSuffix(node.name, "/again"));
    EXPECT_TRUE(copies.insert(original).second) << node.name;
    EXPECT_EQ(again->sbp[node.outputs[0]], sbp.at(original)) << node.name;
  }
  for (const Recomputable& r : found) {
    const std::string& name = graph.nodes[r.nodes[0]].name;
    EXPECT_EQ(copies.count(name), 1) << name;
  }
}

// y = prelu(x * w) + x, a few times: the sums are kept, and what lies between
// two of them can go, the cheap before the dear.
TEST(RecomputeTest, WhatAllGoesThroughIsKept) {
  SmallNetwork network;
  ops::GraphBuilder b(&network.graph, ops::FindOp);
  b.set_origin({"", "backbone", ops::Phase::kForward, false});
  auto variable = [&](const std::string& name, std::vector<int64_t> shape) {
    return b.Add1("variable", name, {},
                  {{"shape", std::move(shape)},
                   {"init", std::string("normal")},
                   {"stddev", 0.1}});
  };
  const auto source =
      b.Add("image_source", "data", {}, {{"batch_size", int64_t{8}}});
  ASSERT_TRUE(source.ok()) << source.status();
  TensorId x = b.Add1("conv2d", "stem",
                      {(*source)[0], variable("stem.w", {16, 3, 1, 1})});
  constexpr int kBlocks = 3;
  for (int i = 0; i < kBlocks; ++i) {
    const std::string name = std::string("block") + std::to_string(i);
    const TensorId w = variable(name + ".w", {16, 16, 3, 3});
    const TensorId product =
        b.Add1("conv2d", name + ".conv", {x, w}, {{"padding", int64_t{1}}});
    const TensorId y = b.Add1("prelu", name + ".prelu",
                              {product, variable(name + ".slope", {16})});
    // A second factor, so that the sum's readers need y.
    const TensorId v = variable(name + ".v", {16, 16, 1, 1});
    const TensorId z = b.Add1("conv2d", name + ".last", {y, v});
    x = b.Add1("add", name, {z, x});
  }
  const TensorId flat = b.Add1("flatten", "flat", {x});
  const TensorId logits =
      b.Add1("matmul", "logits", {flat, variable("head", {16 * 112 * 112, 4})});
  const TensorId loss = AddLoss("loss", logits, &b);
  ASSERT_TRUE(b.status().ok()) << b.status();

  const ops::Graph graph = Trained(network.graph, loss, false, false);
  Cluster cluster = Devices(1);
  // A convolution of 16 channels is bound by arithmetic, a PReLU is not.
  cluster.devices[0].float32_flops_per_second = 1e9;
  cluster.devices[0].memory_bytes_per_second = 1e10;
  const std::vector<Recomputable> found =
      FindRecomputable(graph, cluster.devices[0], ops::FindOp);
  EXPECT_THAT(Names(graph, found),
              testing::UnorderedElementsAre("block0.conv", "block0.prelu",
                                            "block1.conv", "block1.prelu",
                                            "block2.conv", "block2.prelu"));
  // Where memory is a little short, the cheap go.
  auto search = SbpSearch::Make(graph, cluster, {}, ops::FindOp,
                                {Parameters::kFastest, Keeping::kChosen});
  ASSERT_TRUE(search.ok()) << search.status();
  const auto all = search->Within(std::numeric_limits<double>::infinity());
  ASSERT_TRUE(all.ok());
  EXPECT_TRUE(all->again.empty());
  const double one =
      static_cast<double>(graph.tensors[found[0].tensor].type.size_bytes());
  for (int count = 1; count <= 2 * kBlocks; ++count) {
    const auto some = search->Within(all->held_bytes - count * one);
    ASSERT_TRUE(some.ok()) << some.status();
    EXPECT_EQ(some->held_bytes, all->held_bytes - count * one);
    ASSERT_EQ(some->again.size(), count);
    double seconds = 0;
    int cheap = 0;
    for (const MadeAgain& again : some->again) {
      const std::string& name = graph.tensors[again.tensor].name;
      cheap += absl::EndsWith(name, ".prelu");
      EXPECT_EQ(again.bytes, one);
      seconds += again.seconds;
    }
    EXPECT_EQ(cheap, std::min(count, kBlocks));
    EXPECT_NEAR(some->seconds, all->seconds + seconds, 1e-9);
    EXPECT_LE(some->lower_bound, some->seconds);
  }
  EXPECT_FALSE(search->Within(all->held_bytes - 7 * one).ok());
}

// s = 2 * (x * w + x): the gradient of the next convolution reads s, and nobody
// in the backward pass the sum. To keep that instead would save nothing: it is
// computed again, too, and its time counts.
TEST(RecomputeTest, WhatNobodyKeptIsMadeAgainToo) {
  ops::Graph graph;
  ops::GraphBuilder b(&graph, ops::FindOp);
  b.set_origin({"", "backbone", ops::Phase::kForward, false});
  auto weight = [&](const std::string& name, std::vector<int64_t> shape) {
    return b.Add1("variable", name, {},
                  {{"shape", std::move(shape)},
                   {"init", std::string("normal")},
                   {"stddev", 0.1}});
  };
  const auto source =
      b.Add("image_source", "data", {}, {{"batch_size", int64_t{8}}});
  ASSERT_TRUE(source.ok()) << source.status();
  const TensorId x =
      b.Add1("conv2d", "stem", {(*source)[0], weight("stem.w", {16, 3, 1, 1})});
  const TensorId y = b.Add1("conv2d", "y", {x, weight("w", {16, 16, 1, 1})});
  const TensorId sum = b.Add1("add", "sum", {y, x});
  const TensorId s = b.Add1("scale", "s", {sum}, {{"factor", 2.0}});
  const TensorId z = b.Add1("conv2d", "z", {s, weight("v", {16, 16, 1, 1})});
  const TensorId flat =
      b.Add1("flatten", "flat", {b.Add1("add", "block", {z, x})});
  const TensorId logits =
      b.Add1("matmul", "logits", {flat, weight("head", {16 * 112 * 112, 4})});
  const TensorId loss = AddLoss("loss", logits, &b);
  ASSERT_TRUE(b.status().ok()) << b.status();

  const ops::Graph trained = Trained(graph, loss, false, false);
  const PlacedGraph placed = Placed(trained, 1);
  DeviceSpec device;  // On which convolutions are dear.
  device.float32_flops_per_second = 1e9;
  device.memory_bytes_per_second = 1e10;
  const std::vector<Recomputable> found =
      FindRecomputable(trained, device, ops::FindOp);
  ASSERT_THAT(Names(trained, found), testing::Contains("s"));
  EXPECT_EQ(Names(trained, found).count("sum"), 0);
  const auto again =
      Recompute(placed, Tensors(trained, found, placed), ops::FindOp);
  ASSERT_TRUE(again.ok()) << again.status();
  const ops::Graph& result = again->graph;
  auto reads = [&](const std::string& node, const std::string& tensor) {
    const auto& inputs = NodeOf(result, node).inputs;
    return std::any_of(inputs.begin(), inputs.end(), [&](TensorId t) {
      return result.tensors[t].name == tensor;
    });
  };
  EXPECT_TRUE(reads("s/again", "sum/again"));
  EXPECT_TRUE(reads("sum/again", "y/again"));
  EXPECT_TRUE(reads("sum/again", "stem"));  // Kept for y's gradient.
}

TEST(RecomputeTest, InferenceHasNothingToComputeAgain) {
  const SmallNetwork network = MakeSmallNetwork();
  EXPECT_TRUE(Find(network.graph).empty());
}

}  // namespace
}  // namespace facet::placement
