#include "models/face_head.h"

#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/op_table.h"

namespace facet::models {
namespace {

using ::testing::HasSubstr;

TEST(ParseMarginTest, NamesAndNumbers) {
  struct Case {
    const char* text;
    Margin margin;
  };
  for (const Case& c :
       {Case{"arcface", {1, 0.5, 0}}, Case{"cosface", {1, 0, 0.4}},
        Case{"1.35,0.25,0.1", {1.35, 0.25, 0.1}},
        Case{"1, 0.3, 0", {1, 0.3, 0}}}) {
    const absl::StatusOr<Margin> margin = ParseMargin(c.text);
    ASSERT_TRUE(margin.ok()) << margin.status();
    EXPECT_EQ(margin->m1, c.margin.m1) << c.text;
    EXPECT_EQ(margin->m2, c.margin.m2) << c.text;
    EXPECT_EQ(margin->m3, c.margin.m3) << c.text;
  }
}

TEST(ParseMarginTest, ErrorsSayWhatIsAllowed) {
  for (const char* text : {"", "arc", "1,2", "1,2,3,4", "1,x,0", "1,,0"}) {
    const absl::Status status = ParseMargin(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("use arcface, cosface, or three numbers"));
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(std::string("margin \"") + text + "\""));
  }
  for (const char* text :
       {"0,0.5,0", "1,-0.5,0", "1,0,-1", "1,nan,0", "inf,0,0"}) {
    const absl::Status status = ParseMargin(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("m1 must be above 0"));
  }
}

class FaceHeadTest : public ::testing::Test {
 protected:
  FaceHeadTest() : builder_(&graph_, ops::FindOp) {
    features_ = builder_.Add1("fill", "features", {},
                              {{"shape", std::vector<int64_t>{6, 16}}});
    labels_ = builder_.Add1(
        "fill", "labels", {},
        {{"shape", std::vector<int64_t>{6}}, {"dtype", std::string("int32")}});
  }

  const ops::Node& Producer(absl::string_view tensor) {
    const ops::TensorId id = ops::FindTensor(graph_, tensor);
    CHECK_NE(id, ops::kNone) << std::string(tensor);
    return graph_.nodes[graph_.tensors[id].producer];
  }

  ops::Graph graph_;
  ops::GraphBuilder builder_;
  ops::TensorId features_ = ops::kNone;
  ops::TensorId labels_ = ops::kNone;
};

TEST_F(FaceHeadTest, IsAClassifierOfCosines) {
  FaceHeadConfig config;
  config.classes = 11;
  config.margin = {1, 0, 0.4};
  config.margin_gradient = "exact";
  const absl::StatusOr<FaceHead> head =
      AddFaceHead(config, features_, labels_, &builder_);
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_TRUE(ops::VerifyGraph(graph_, ops::FindOp).ok());
  EXPECT_EQ(head->parameters, 11 * 16);
  EXPECT_EQ(graph_.tensors[head->loss].name, "loss");
  EXPECT_EQ(graph_.tensors[head->loss].type,
            (ops::TensorType{ops::DataType::kFloat32, {}}));

  const ops::Node& weight = Producer("head.weight");
  EXPECT_EQ(graph_.tensors[weight.outputs[0]].type.shape, (ops::Shape{11, 16}));
  EXPECT_EQ(weight.attributes.String("init"), "normal");
  EXPECT_EQ(weight.attributes.Float("stddev"), 0.01);
  EXPECT_TRUE(weight.attributes.Bool("trainable"));
  EXPECT_FALSE(weight.attributes.Bool("clip"));

  const ops::Node& margin = Producer("head.logits");
  EXPECT_EQ(margin.attributes.Float("m2"), 0);
  EXPECT_EQ(margin.attributes.Float("m3"), 0.4);
  EXPECT_EQ(margin.attributes.Float("scale"), 64);
  EXPECT_EQ(margin.attributes.String("gradient"), "exact");
  for (const ops::Node& node : graph_.nodes) {
    if (node.name == "features" || node.name == "labels") continue;
    EXPECT_EQ(node.origin.part, "head") << node.name;
    EXPECT_TRUE(node.origin.keep_float32) << node.name;
  }
}

TEST_F(FaceHeadTest, PartialFcWorksOnASample) {
  FaceHeadConfig config;
  config.classes = 11;
  config.sample_rate = 0.25;
  config.class_groups = 2;
  const absl::StatusOr<FaceHead> head =
      AddFaceHead(config, features_, labels_, &builder_);
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_TRUE(ops::VerifyGraph(graph_, ops::FindOp).ok());
  EXPECT_EQ(head->parameters, 11 * 16);
  const ops::Node& sample = Producer("head.sample");
  EXPECT_EQ(sample.attributes.Int("classes"), 11);
  EXPECT_EQ(sample.attributes.Int("groups"), 2);
  EXPECT_EQ(sample.attributes.Float("rate"), 0.25);
  // All six classes of the larger group could be labels of the six images.
  EXPECT_EQ(sample.attributes.Int("capacity"), 6);
  EXPECT_EQ(graph_.tensors[ops::FindTensor(graph_, "head.masked")].type.shape,
            (ops::Shape{6, 12}));
  // Nobody but the sample sees the labels, or the weights of all classes.
  EXPECT_EQ(Producer("head.logits").inputs[1], sample.outputs[1]);
  EXPECT_EQ(Producer("loss").inputs[3], sample.outputs[1]);
  const ops::Node& weight = Producer("head.weight");
  EXPECT_EQ(ops::ComputeConsumers(graph_)[weight.outputs[0]].size(), 1u);
  for (const ops::Node& node : graph_.nodes) {
    if (node.name == "features" || node.name == "labels") continue;
    EXPECT_EQ(node.origin.part, "head") << node.name;
    EXPECT_TRUE(node.origin.keep_float32) << node.name;
  }
}

TEST_F(FaceHeadTest, ImpossibleNumbersAreExplained) {
  auto message = [&](const FaceHeadConfig& config) {
    const absl::Status status =
        AddFaceHead(config, features_, labels_, &builder_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  FaceHeadConfig config;
  config.classes = 1;
  EXPECT_THAT(message(config), HasSubstr("classes is 1"));
  config.classes = int64_t{1} << 31;
  EXPECT_THAT(message(config), HasSubstr("from 2 to 2147483647"));
  config.classes = 5;
  config.scale = 0;
  EXPECT_THAT(message(config), HasSubstr("scale is 0"));
  config.scale = 64;
  config.margin.m1 = 0;
  EXPECT_THAT(message(config), HasSubstr("m1 must be above 0"));
  config.margin.m1 = 1;
  config.margin_gradient = "true";
  EXPECT_THAT(message(config), HasSubstr("\"as_arcface_torch\" or \"exact\""));
  config.margin_gradient = "exact";
  config.sample_rate = 1.5;
  EXPECT_THAT(message(config), HasSubstr("sample_rate is 1.5"));
  config.sample_rate = 0.5;
  config.class_groups = 6;
  EXPECT_THAT(message(config), HasSubstr("class_groups is 6"));
}

}  // namespace
}  // namespace facet::models
