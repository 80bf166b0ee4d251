#include "models/iresnet.h"

#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/op_table.h"

namespace facet::models {
namespace {

using ::testing::HasSubstr;

struct Built {
  ops::Graph graph;
  IResNet network;
};

absl::StatusOr<Built> Build(const IResNetConfig& config, int64_t batch_size) {
  Built built;
  ops::GraphBuilder builder(&built.graph, ops::FindOp);
  const ops::TensorId images =
      builder.Add1("image_source", "images", {}, {{"batch_size", batch_size}});
  absl::StatusOr<IResNet> network = AddIResNet(config, images, &builder);
  if (!network.ok()) return network.status();
  built.network = *network;
  return built;
}

std::map<std::string, int> CountOps(const ops::Graph& graph) {
  std::map<std::string, int> count;
  for (const ops::Node& node : graph.nodes) ++count[node.op];
  return count;
}

const ops::Node* FindNode(const ops::Graph& graph, absl::string_view name) {
  for (const ops::Node& node : graph.nodes) {
    if (node.name == name) return &node;
  }
  return nullptr;
}

TEST(IResNetTest, Layers) {
  EXPECT_EQ(*IResNetLayers("r18"), (std::vector<int64_t>{2, 2, 2, 2}));
  EXPECT_EQ(*IResNetLayers("r50"), (std::vector<int64_t>{3, 4, 14, 3}));
  EXPECT_EQ(*IResNetLayers("r200"), (std::vector<int64_t>{6, 26, 60, 6}));
  const absl::Status unknown = IResNetLayers("r51").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(unknown.message(),
            "unknown network \"r51\"; use r18, r34, r50, r100, r200");
}

// Counted by running arcface_torch.
TEST(IResNetTest, R50IsThePeers) {
  const absl::StatusOr<Built> built = Build({}, 4);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_TRUE(ops::VerifyGraph(built->graph, ops::FindOp).ok());
  EXPECT_EQ(built->network.parameters, 43590848);
  std::map<std::string, int> count = CountOps(built->graph);
  EXPECT_EQ(count["conv2d"], 53);
  EXPECT_EQ(count["batch_norm"], 79);
  EXPECT_EQ(count["batch_norm_statistics"], 79);
  EXPECT_EQ(count["batch_norm_update"], 79);
  EXPECT_EQ(count["prelu"], 25);
  EXPECT_EQ(count["add"], 24);
  EXPECT_EQ(count["matmul"], 1);
  EXPECT_EQ(built->graph.tensors[built->network.features].type,
            (ops::TensorType{ops::DataType::kFloat32, {4, 512}}));
}

TEST(IResNetTest, R50MultiplyAdds) {
  const absl::StatusOr<Built> built = Build({}, 4);
  ASSERT_TRUE(built.ok()) << built.status();
  double flops = 0;
  for (size_t n = 0; n < built->graph.nodes.size(); ++n) {
    const std::string& op = built->graph.nodes[n].op;
    if (op != "conv2d" && op != "matmul") continue;
    const ops::NodeCall call(built->graph, static_cast<ops::NodeId>(n));
    flops += ops::LocalCost(*ops::FindOp(op), call.call()).flops;
  }
  EXPECT_NEAR(flops / 2 / 4, 6.309e9, 0.001e9);
}

TEST(IResNetTest, NamesAndShapesAreTheStateDicts) {
  const absl::StatusOr<Built> built = Build({.bn_groups = 2}, 4);
  ASSERT_TRUE(built.ok()) << built.status();
  const std::map<std::string, ops::Shape> expected = {
      {"conv1.weight", {64, 3, 3, 3}},
      {"bn1.weight", {64}},
      {"bn1.bias", {64}},
      {"bn1.running_mean", {2, 64}},
      {"bn1.running_var", {2, 64}},
      {"prelu.weight", {64}},
      {"layer1.0.bn1.weight", {64}},
      {"layer1.0.conv1.weight", {64, 64, 3, 3}},
      {"layer1.0.prelu.weight", {64}},
      {"layer1.0.downsample.0.weight", {64, 64, 1, 1}},
      {"layer1.0.downsample.1.running_var", {2, 64}},
      {"layer2.0.bn1.weight", {64}},
      {"layer2.0.conv1.weight", {128, 64, 3, 3}},
      {"layer2.0.downsample.0.weight", {128, 64, 1, 1}},
      {"layer3.13.conv2.weight", {256, 256, 3, 3}},
      {"layer4.2.bn3.bias", {512}},
      {"bn2.weight", {512}},
      {"fc.weight", {512, 25088}},
      {"fc.bias", {512}},
      {"features.weight", {512}},
      {"features.bias", {512}},
      {"features.running_mean", {2, 512}}};
  for (const auto& [name, shape] : expected) {
    const ops::TensorId id = ops::FindTensor(built->graph, name);
    ASSERT_NE(id, ops::kNone) << name;
    EXPECT_EQ(built->graph.tensors[id].type.shape, shape) << name;
  }
  EXPECT_EQ(ops::FindTensor(built->graph, "layer1.1.downsample.0.weight"),
            ops::kNone);
  // 5 per batch norm, of which one counts batches and is not needed here.
  EXPECT_EQ(CountOps(built->graph)["variable"], 53 + 79 * 4 + 25 + 2);
}

TEST(IResNetTest, BlockStructure) {
  const absl::StatusOr<Built> built = Build({}, 2);
  ASSERT_TRUE(built.ok()) << built.status();
  const ops::Graph& graph = built->graph;
  auto input = [&](absl::string_view node, int i) -> std::string {
    const ops::Node* found = FindNode(graph, node);
    return found == nullptr ? "no such node"
                            : graph.tensors[found->inputs[i]].name;
  };
  EXPECT_EQ(input("conv1", 0), "images");
  EXPECT_EQ(input("bn1", 0), "conv1");
  EXPECT_EQ(input("prelu", 0), "bn1");
  EXPECT_EQ(input("layer1.0.bn1", 0), "prelu");
  EXPECT_EQ(input("layer1.0.conv1", 0), "layer1.0.bn1");
  EXPECT_EQ(input("layer1.0.bn2", 0), "layer1.0.conv1");
  EXPECT_EQ(input("layer1.0.prelu", 0), "layer1.0.bn2");
  EXPECT_EQ(input("layer1.0.conv2", 0), "layer1.0.prelu");
  EXPECT_EQ(input("layer1.0.bn3", 0), "layer1.0.conv2");
  EXPECT_EQ(input("layer1.0.downsample.0", 0), "prelu");
  EXPECT_EQ(input("layer1.0", 0), "layer1.0.bn3");
  EXPECT_EQ(input("layer1.0", 1), "layer1.0.downsample.1");
  EXPECT_EQ(input("layer1.1", 1), "layer1.0");
  EXPECT_EQ(input("bn2", 0), "layer4.2");
  EXPECT_EQ(input("features", 0), "fc");
  for (const char* stride_2 : {"layer3.0.conv2", "layer3.0.downsample.0"}) {
    EXPECT_EQ(FindNode(graph, stride_2)->attributes.Int("stride"), 2);
  }
  EXPECT_EQ(FindNode(graph, "layer3.0.conv1")->attributes.Int("stride"), 1);
  EXPECT_EQ(FindNode(graph, "layer3.1.conv2")->attributes.Int("stride"), 1);
  EXPECT_EQ(graph.tensors[ops::FindTensor(graph, "layer4.2")].type.shape,
            (ops::Shape{2, 512, 7, 7}));
}

TEST(IResNetTest, VariablesAreInitialisedAsThePeers) {
  const absl::StatusOr<Built> built = Build({}, 2);
  ASSERT_TRUE(built.ok()) << built.status();
  auto attributes = [&](absl::string_view name) {
    return FindNode(built->graph, name)->attributes;
  };
  EXPECT_EQ(attributes("conv1.weight").String("init"), "normal");
  EXPECT_EQ(attributes("conv1.weight").Float("stddev"), 0.1);
  EXPECT_EQ(attributes("bn1.weight").Float("value"), 1);
  EXPECT_EQ(attributes("bn1.bias").Float("value"), 0);
  EXPECT_EQ(attributes("bn1.running_var").Float("value"), 1);
  EXPECT_FALSE(attributes("bn1.running_var").Bool("trainable"));
  EXPECT_EQ(attributes("prelu.weight").Float("value"), 0.25);
  // PyTorch's default: U(-b, b) with b = 25088^-0.5, for the bias, too.
  for (const char* name : {"fc.weight", "fc.bias"}) {
    EXPECT_EQ(attributes(name).String("init"), "uniform");
    EXPECT_NEAR(attributes(name).Float("bound"), 0.0063134, 1e-6);
  }
  EXPECT_EQ(attributes("features.weight").Float("value"), 1);
  EXPECT_FALSE(attributes("features.weight").Bool("trainable"));
  EXPECT_TRUE(attributes("features.bias").Bool("trainable"));
}

TEST(IResNetTest, RandomKeysDiffer) {
  const absl::StatusOr<Built> built = Build({.network = "r200"}, 2);
  ASSERT_TRUE(built.ok()) << built.status();
  std::set<int64_t> keys;
  size_t random = 0;
  for (const ops::Node& node : built->graph.nodes) {
    if (node.op != "variable" || node.attributes.String("init") == "constant") {
      continue;
    }
    ++random;
    keys.insert(node.attributes.Int("key"));
  }
  EXPECT_EQ(random, 203u);  // 1 + 2 * 98 + 4 convolutions, fc twice.
  EXPECT_EQ(keys.size(), random);
}

TEST(IResNetTest, OnlyTheEndStaysInFloat32) {
  const absl::StatusOr<Built> built = Build({.dropout = 0.4}, 2);
  ASSERT_TRUE(built.ok()) << built.status();
  for (const ops::Node& node : built->graph.nodes) {
    if (node.op == "image_source") continue;
    EXPECT_EQ(node.origin.keep_float32,
              node.origin.layer == "fc" || node.origin.layer == "features")
        << node.name;
    EXPECT_EQ(node.origin.part, "backbone") << node.name;
  }
  EXPECT_EQ(FindNode(built->graph, "dropout")->attributes.Float("rate"), 0.4);
}

TEST(IResNetTest, InferenceReadsRunningStatistics) {
  IResNetConfig config;
  config.network = "r18";
  config.training = false;
  config.dropout = 0.4;
  const absl::StatusOr<Built> built = Build(config, 1);
  ASSERT_TRUE(built.ok()) << built.status();
  std::map<std::string, int> count = CountOps(built->graph);
  EXPECT_EQ(count["batch_norm_inference"], 31);
  EXPECT_EQ(count["batch_norm"], 0);
  EXPECT_EQ(count["batch_norm_update"], 0);
  EXPECT_EQ(count["dropout"], 0);
  EXPECT_EQ(built->network.parameters, 24025600);
}

TEST(IResNetTest, ImpossibleNumbersAreExplained) {
  auto message = [](const IResNetConfig& config, int64_t batch_size) {
    const absl::Status status = Build(config, batch_size).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(message({.embedding = 0}, 4), HasSubstr("embedding is 0"));
  EXPECT_THAT(message({.dropout = 1}, 4), HasSubstr("dropout is 1"));
  EXPECT_THAT(message({.bn_groups = 0}, 4), HasSubstr("bn_groups is 0"));
  EXPECT_THAT(message({.bn_groups = 3}, 5),
              HasSubstr("use a batch of at least 6"));
}

}  // namespace
}  // namespace facet::models
