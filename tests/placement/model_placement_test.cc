// What the search chooses for the real models.

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/train_graph.h"
#include "ops/graph_builder.h"
#include "ops/nd_signature.h"
#include "ops/op_table.h"
#include "placement/boxing/boxing_routes.h"
#include "placement/passes/append_optimizer.h"
#include "placement/passes/assign_sbp.h"
#include "placement/passes/autodiff.h"
#include "placement/passes/insert_boxing.h"

namespace facet::placement {
namespace {

using ops::Sbp;
using testing::HasSubstr;

Cluster Devices(int count) { return UniformCluster(count, {}, {}); }

ops::Graph TrainGraph(const std::string& network, int64_t classes,
                      int64_t batch_size, int devices) {
  models::TrainConfig config;
  config.network = network;
  config.classes = classes;
  config.batch_size = batch_size;
  config.bn_groups = devices;
  auto model = models::BuildTrainGraph(config, ops::FindOp);
  EXPECT_TRUE(model.ok()) << model.status();
  auto differentiated = Autodiff(model->graph, model->loss,
                                 /*loss_scale_initial=*/0, ops::FindOp);
  EXPECT_TRUE(differentiated.ok()) << differentiated.status();
  auto graph = AppendOptimizer(*differentiated, {}, ops::FindOp);
  EXPECT_TRUE(graph.ok()) << graph.status();
  return *graph;
}

ops::NdSbp SbpOf(const ops::Graph& graph, const SbpAssignment& assignment,
                 const std::string& tensor) {
  const ops::TensorId id = ops::FindTensor(graph, tensor);
  EXPECT_NE(id, ops::kNone) << tensor;
  return assignment.produced[id];
}

void ExpectBackboneIsDataParallel(const ops::Graph& graph,
                                  const SbpAssignment& assignment) {
  for (size_t t = 0; t < graph.tensors.size(); ++t) {
    const ops::Node& node = graph.nodes[graph.tensors[t].producer];
    if (node.origin.part != "backbone") continue;
    if (node.op == "variable" && node.attributes.Bool("trainable")) {
      EXPECT_EQ(assignment.produced[t], Sbp::B()) << graph.tensors[t].name;
    }
    if (node.op == "conv2d") {
      EXPECT_EQ(assignment.produced[t], Sbp::S(0)) << graph.tensors[t].name;
    }
  }
}

TEST(AssignSbpTest, FindsDataParallelBackboneAndClassSplitHead) {
  for (int devices : {2, 8}) {
    SCOPED_TRACE(devices);
    const ops::Graph graph =
        TrainGraph("r50", 2'000'000, 64 * devices, devices);
    const auto assignment = AssignSbp(graph, Devices(devices), {}, ops::FindOp);
    ASSERT_TRUE(assignment.ok()) << assignment.status();
    EXPECT_EQ(assignment->seconds, assignment->lower_bound);  // Exact.
    EXPECT_EQ(SbpOf(graph, *assignment, "head.weight"), Sbp::S(0));
    EXPECT_EQ(SbpOf(graph, *assignment, "head.weight.momentum"), Sbp::S(0));
    ExpectBackboneIsDataParallel(graph, *assignment);
  }
}

TEST(AssignSbpTest, FewClassesAreDataParallelToo) {
  for (int devices : {2, 8}) {
    SCOPED_TRACE(devices);
    const ops::Graph graph = TrainGraph("r50", 100, 1024, devices);
    const auto assignment = AssignSbp(graph, Devices(devices), {}, ops::FindOp);
    ASSERT_TRUE(assignment.ok()) << assignment.status();
    EXPECT_EQ(SbpOf(graph, *assignment, "head.weight"), Sbp::B());
    ExpectBackboneIsDataParallel(graph, *assignment);
  }
}

// With one class per image the exchanges of a class split (embeddings and
// their gradients) and of data parallelism (weight gradients) are equal.
TEST(AssignSbpTest, TheHeadCrossesOverNearClassesEqualBatch) {
  constexpr int kDevices = 4;
  constexpr int64_t kBatch = 1024;
  Cluster cluster = Devices(kDevices);
  // Bytes alone: no latency.
  cluster.mesh[0].latency_seconds = 0;
  cluster.mesh[0].blocking_seconds = 0;
  for (auto& device : cluster.devices) device.launch_seconds = 0;
  for (const auto& [classes, expected] : std::vector<std::pair<int64_t, Sbp>>{
           {kBatch / 4, Sbp::B()}, {kBatch * 4, Sbp::S(0)}}) {
    const ops::Graph graph = TrainGraph("r18", classes, kBatch, kDevices);
    const auto assignment = AssignSbp(graph, cluster, {}, ops::FindOp);
    ASSERT_TRUE(assignment.ok()) << assignment.status();
    EXPECT_EQ(SbpOf(graph, *assignment, "head.weight"), expected)
        << classes << " classes";
  }
}

// As above on the devices as they are, latency included.
TEST(AssignSbpTest, WithLatencyTheHeadCrossesOverNearThereToo) {
  for (const auto& [classes, expected] : std::vector<std::pair<int64_t, Sbp>>{
           {512, Sbp::B()}, {2048, Sbp::S(0)}}) {
    const ops::Graph graph = TrainGraph("r18", classes, 1024, 4);
    const auto assignment = AssignSbp(graph, Devices(4), {}, ops::FindOp);
    ASSERT_TRUE(assignment.ok()) << assignment.status();
    EXPECT_EQ(SbpOf(graph, *assignment, "head.weight"), expected)
        << classes << " classes";
  }
}

// Deeper networks are longer, not wider: tables stay small, and exact.
TEST(AssignSbpTest, EveryDepthIsSolvedExactly) {
  for (const char* network : {"r18", "r34", "r100", "r200"}) {
    SCOPED_TRACE(network);
    const ops::Graph graph = TrainGraph(network, 2'000'000, 128, 8);
    const auto assignment = AssignSbp(graph, Devices(8), {}, ops::FindOp);
    ASSERT_TRUE(assignment.ok()) << assignment.status();
    EXPECT_EQ(assignment->seconds, assignment->lower_bound);
    EXPECT_EQ(SbpOf(graph, *assignment, "head.weight"), Sbp::S(0));
    ExpectBackboneIsDataParallel(graph, *assignment);
  }
}

TEST(AssignSbpTest, TheSameGraphIsPlacedTheSameWay) {
  const ops::Graph graph = TrainGraph("r18", 5000, 64, 4);
  const auto once = AssignSbp(graph, Devices(4), {}, ops::FindOp);
  const auto again = AssignSbp(graph, Devices(4), {}, ops::FindOp);
  ASSERT_TRUE(once.ok() && again.ok());
  EXPECT_EQ(once->chosen, again->chosen);
  EXPECT_EQ(once->seconds, again->seconds);
}

TEST(AssignSbpTest, PinsAreObeyed) {
  const ops::Graph graph = TrainGraph("r18", 1000, 64, 4);
  const auto assignment = AssignSbp(
      graph, Devices(4), {{"head.weight", Sbp::B()}, {"fc.weight", Sbp::S(0)}},
      ops::FindOp);
  ASSERT_TRUE(assignment.ok()) << assignment.status();
  EXPECT_EQ(SbpOf(graph, *assignment, "head.weight"), Sbp::B());
  EXPECT_EQ(SbpOf(graph, *assignment, "fc.weight"), Sbp::S(0));
}

TEST(AssignSbpTest, APinOnTheHeadCanOnlyCostTime) {
  const ops::Graph graph = TrainGraph("r18", 1000, 64, 4);
  const auto free = AssignSbp(graph, Devices(4), {}, ops::FindOp);
  ASSERT_TRUE(free.ok());
  double least = 1e300;
  for (const Sbp& sbp : {Sbp::B(), Sbp::S(0)}) {
    const auto pinned =
        AssignSbp(graph, Devices(4), {{"head.weight", sbp}}, ops::FindOp);
    ASSERT_TRUE(pinned.ok()) << pinned.status();
    EXPECT_GE(pinned->seconds, free->seconds) << sbp.ToString();
    least = std::min(least, pinned->seconds);
  }
  EXPECT_EQ(least, free->seconds);  // One of them is what it chose.
  // Normalising needs whole rows, and parameters are not moved to get them.
  EXPECT_THAT(
      AssignSbp(graph, Devices(4), {{"head.weight", Sbp::S(1)}}, ops::FindOp)
          .status()
          .message(),
      HasSubstr("pins"));
}

TEST(AssignSbpTest, ImpossiblePinsSayWhatIsPossible) {
  const ops::Graph graph = TrainGraph("r18", 1000, 64, 4);
  const auto partial =
      AssignSbp(graph, Devices(4), {{"head.weight", Sbp::PSum()}}, ops::FindOp);
  EXPECT_EQ(partial.status().code(), absl::StatusCode::kInvalidArgument);
  for (const char* part :
       {"head.weight", "P(sum)", "float32[1000, 512]", "B, S(0), S(1)"}) {
    EXPECT_THAT(partial.status().message(), HasSubstr(part));
  }
  EXPECT_THAT(AssignSbp(graph, Devices(4), {{"no.such", Sbp::B()}}, ops::FindOp)
                  .status()
                  .message(),
              HasSubstr("no.such"));
}

// On a row, and on a mesh whose outer links are slow.
class BoxingOnTest : public testing::TestWithParam<std::vector<AxisSize>> {};

TEST_P(BoxingOnTest, BoxingMakesProducersAndReadersAgree) {
  const ops::Graph graph = TrainGraph("r18", 5000, 64, 4);
  Cluster cluster = Arranged(Devices(4), GetParam());
  cluster.mesh[0].bytes_per_second /= 10;
  const auto assignment = AssignSbp(graph, cluster, {}, ops::FindOp);
  ASSERT_TRUE(assignment.ok());
  EXPECT_EQ(assignment->seconds, assignment->lower_bound);
  const auto placed = InsertBoxing(graph, *assignment, ops::FindOp);
  ASSERT_TRUE(placed.ok()) << placed.status();
  ASSERT_TRUE(ops::VerifyGraph(placed->graph, ops::FindOp).ok());
  int boxings = 0;
  for (size_t n = 0; n < placed->graph.nodes.size(); ++n) {
    const ops::Node& node = placed->graph.nodes[n];
    if (node.op == "boxing") {
      ++boxings;
      EXPECT_TRUE(IsBoxingStep(placed->graph.tensors[node.inputs[0]].type.shape,
                               placed->sbp[node.inputs[0]],
                               placed->sbp[node.outputs[0]], MeshOf(cluster)))
          << node.name;
      continue;
    }
    ops::NdSignature signature;
    for (ops::TensorId t : node.inputs) {
      signature.inputs.push_back(placed->sbp[t]);
    }
    for (ops::TensorId t : node.outputs) {
      signature.outputs.push_back(placed->sbp[t]);
    }
    const ops::NodeCall call(placed->graph, static_cast<ops::NodeId>(n));
    const auto legal = ops::LegalNdSignatures(*ops::FindOp(node.op),
                                              call.call(), MeshOf(cluster));
    EXPECT_THAT(legal, testing::Contains(signature)) << node.name;
  }
  EXPECT_GT(boxings, 10);
}

INSTANTIATE_TEST_SUITE_P(Meshes, BoxingOnTest,
                         testing::Values(std::vector<AxisSize>{{"device", 4}},
                                         std::vector<AxisSize>{{"node", 2},
                                                               {"device", 2}}));

TEST(AssignSbpTest, ReadersThatWantTheSameShareOneBoxing) {
  const ops::Graph graph = TrainGraph("r18", 5000, 64, 4);
  const auto assignment = AssignSbp(graph, Devices(4), {}, ops::FindOp);
  ASSERT_TRUE(assignment.ok());
  const auto placed = InsertBoxing(graph, *assignment, ops::FindOp);
  ASSERT_TRUE(placed.ok()) << placed.status();
  const ops::Graph& boxed = placed->graph;
  std::set<std::pair<ops::TensorId, std::string>> seen;
  for (const ops::Node& node : boxed.nodes) {
    if (node.op != "boxing") continue;
    const ops::Tensor& tensor = boxed.tensors[node.inputs[0]];
    const std::string target = placed->sbp[node.outputs[0]].ToString();
    EXPECT_TRUE(seen.insert({node.inputs[0], target}).second) << node.name;
    EXPECT_EQ(boxed.tensors[node.outputs[0]].name,
              tensor.name + "/to_" + target);
    // Part of the producer, phase of the first reader.
    EXPECT_EQ(node.origin.part, boxed.nodes[tensor.producer].origin.part);
    for (const ops::Node& reader : boxed.nodes) {
      if (std::count(reader.inputs.begin(), reader.inputs.end(),
                     node.outputs[0]) == 0) {
        continue;
      }
      EXPECT_EQ(node.origin.phase, reader.origin.phase) << node.name;
      break;
    }
  }
  EXPECT_GT(seen.size(), 10u);
}

// A mesh's placements contain those of the row, and its collectives have fewer
// rounds: with the same links the best is as good. But for one thing: on a row
// gradients are all-reduced, in buckets that share the latency, and by axes
// they are scattered and gathered as well, which is in no bucket.
TEST(AssignSbpTest, AMeshOfTwoAxesIsAboutAsGoodAsARow) {
  const ops::Graph graph = TrainGraph("r18", 5000, 64, 4);
  const auto row = AssignSbp(graph, Devices(4), {}, ops::FindOp);
  const auto mesh =
      AssignSbp(graph, Arranged(Devices(4), {{"node", 2}, {"device", 2}}), {},
                ops::FindOp);
  ASSERT_TRUE(row.ok());
  ASSERT_TRUE(mesh.ok()) << mesh.status();
  EXPECT_LE(mesh->seconds, row->seconds * (1 + 1e-3));
  EXPECT_EQ(mesh->seconds, mesh->lower_bound);
}

// Too many choices to search them all: those alike along the axes are left, and
// a bound that holds for all.
TEST(AssignSbpTest, ThreeAxesAreSearchedAsOne) {
  const ops::Graph graph = TrainGraph("r18", 5000, 64, 8);
  const auto found =
      AssignSbp(graph, Arranged(Devices(8), {{"a", 2}, {"b", 2}, {"c", 2}}), {},
                ops::FindOp);
  ASSERT_TRUE(found.ok()) << found.status();
  for (const ops::NdSignature& chosen : found->chosen) {
    for (const ops::NdSbp& sbp : chosen.outputs) {
      EXPECT_EQ(sbp, ops::NdSbp::Uniform(3, sbp[0]));
    }
  }
  EXPECT_GT(found->lower_bound, 0);
  EXPECT_LT(found->lower_bound, found->seconds);
}

TEST(AssignSbpTest, PinsNameAnSbpForEveryAxis) {
  const ops::Graph graph = TrainGraph("r18", 5000, 64, 4);
  const Cluster cluster = Arranged(Devices(4), {{"node", 2}, {"device", 2}});
  const ops::NdSbp wanted{Sbp::B(), Sbp::S(0)};
  const auto assignment =
      AssignSbp(graph, cluster, {{"head.weight", wanted}}, ops::FindOp);
  ASSERT_TRUE(assignment.ok()) << assignment.status();
  EXPECT_EQ(SbpOf(graph, *assignment, "head.weight"), wanted);
  EXPECT_EQ(SbpOf(graph, *assignment, "head.weight.momentum"), wanted);
  const auto refused =
      AssignSbp(graph, cluster, {{"head.weight", Sbp::S(0)}}, ops::FindOp);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("2 (2x2)"));
}

}  // namespace
}  // namespace facet::placement
