#include "models/train_graph.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"

namespace facet::models {
namespace {

using ::testing::HasSubstr;

TrainConfig Small() {
  TrainConfig config;
  config.network = "r18";
  config.classes = 100;
  config.batch_size = 4;
  return config;
}

const ops::Node* FindOpOf(const ops::Graph& graph, absl::string_view op) {
  for (const ops::Node& node : graph.nodes) {
    if (node.op == op) return &node;
  }
  return nullptr;
}

// By name, and the shape.
std::set<std::string> Variables(const ops::Graph& graph) {
  std::set<std::string> variables;
  for (const ops::Node& node : graph.nodes) {
    if (node.op != "variable") continue;
    variables.insert(node.name +
                     graph.tensors[node.outputs[0]].type.shape.ToString());
  }
  return variables;
}

TEST(TrainGraphTest, R50WithTwoMillionClasses) {
  TrainConfig config;
  config.classes = 2000000;
  config.batch_size = 32;
  config.bn_groups = 2;
  const absl::StatusOr<TrainModel> model = BuildTrainGraph(config, ops::FindOp);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE(ops::VerifyGraph(model->graph, ops::FindOp).ok());
  EXPECT_EQ(model->backbone_parameters, 43590848);
  EXPECT_EQ(model->parameters, 43590848 + 2000000 * 512);
  EXPECT_EQ(model->graph.tensors[model->loss].name, "loss");
  const ops::Node* fetch = FindOpOf(model->graph, "fetch");
  ASSERT_NE(fetch, nullptr);
  EXPECT_EQ(fetch->attributes.String("name"), "loss");
  EXPECT_EQ(fetch->inputs[0], model->loss);
  const ops::Node* source = FindOpOf(model->graph, "image_source");
  EXPECT_EQ(source->attributes.Int("batch_size"), 32);
  EXPECT_EQ(source->origin.part, "data");
  EXPECT_EQ(source->origin.phase, ops::Phase::kData);
}

TEST(TrainGraphTest, ErrorsNameTheValue) {
  auto message = [](const TrainConfig& config) {
    const absl::Status status = BuildTrainGraph(config, ops::FindOp).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  TrainConfig config = Small();
  config.batch_size = 0;
  EXPECT_THAT(message(config), HasSubstr("batch_size is 0"));
  config.batch_size = 1;
  EXPECT_THAT(message(config), HasSubstr("use a batch of at least 2"));
  config = Small();
  config.classes = 1;
  EXPECT_THAT(message(config), HasSubstr("classes is 1"));
  config = Small();
  config.network = "vgg";
  EXPECT_THAT(message(config), HasSubstr("unknown network \"vgg\""));
}

// What training saves is what evaluation loads.
TEST(EmbedGraphTest, HasTheVariablesOfTraining) {
  EmbedConfig config;
  config.network = "r18";
  config.batch_size = 3;
  const absl::StatusOr<ops::Graph> embed = BuildEmbedGraph(config, ops::FindOp);
  ASSERT_TRUE(embed.ok()) << embed.status();
  EXPECT_TRUE(ops::VerifyGraph(*embed, ops::FindOp).ok());
  const absl::StatusOr<TrainModel> train =
      BuildTrainGraph(Small(), ops::FindOp);
  ASSERT_TRUE(train.ok()) << train.status();
  std::set<std::string> expected = Variables(train->graph);
  EXPECT_EQ(expected.erase("head.weight[100, 512]"), 1u);
  EXPECT_EQ(Variables(*embed), expected);

  const ops::Node* fetch = FindOpOf(*embed, "fetch");
  ASSERT_NE(fetch, nullptr);
  EXPECT_EQ(fetch->attributes.String("name"), "embedding");
  EXPECT_EQ(embed->tensors[fetch->inputs[0]].type,
            (ops::TensorType{ops::DataType::kFloat32, {3, 512}}));
}

}  // namespace
}  // namespace facet::models
