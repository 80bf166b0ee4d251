// The builder and the verifier, on a table of three small ops.

#include "ops/graph_builder.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/gradient.h"

namespace facet::ops {
namespace {

using testing::HasSubstr;

// variable() -> value; join(a, b, [c]) -> sum, copy; update(w!, x) -> ().
const OpDef* FindTestOp(absl::string_view name) {
  static const std::vector<OpDef>& ops = *[] {
    auto* ops = new std::vector<OpDef>(3);
    OpDef& variable = (*ops)[0];
    variable.name = "variable";
    variable.attributes = {{"size", int64_t{0}, true, ""},
                           {"value", 0.0, false, ""}};
    variable.outputs = {"value"};
    variable.is_variable = true;
    variable.infer = [](const OpCall& call, std::vector<TensorType>* outputs) {
      outputs->push_back({DataType::kFloat32, {call.attributes.Int("size")}});
      return absl::OkStatus();
    };
    variable.signatures = [](const OpCall&, int) {
      return UniformSignatures(0, 1, 1);
    };
    OpDef& join = (*ops)[1];
    join.name = "join";
    join.inputs = {"a", "b", "c"};
    join.num_optional_inputs = 1;
    join.outputs = {"sum", "copy"};
    join.infer = [](const OpCall& call, std::vector<TensorType>* outputs) {
      if (call.inputs[0] != call.inputs[1]) {
        return absl::InvalidArgumentError("b must be like a");
      }
      outputs->assign(2, call.inputs[0]);
      return absl::OkStatus();
    };
    join.signatures = [](const OpCall& call, int) {
      return UniformSignatures(static_cast<int>(call.inputs.size()), 2, 1);
    };
    OpDef& update = (*ops)[2];
    update.name = "update";
    update.inputs = {"w", "x"};
    update.mutates = {0};
    update.has_side_effect = true;
    update.infer = [](const OpCall&, std::vector<TensorType>*) {
      return absl::OkStatus();
    };
    return ops;
  }();
  for (const OpDef& def : ops) {
    if (def.name == name) return &def;
  }
  return nullptr;
}

class GraphBuilderTest : public testing::Test {
 protected:
  GraphBuilderTest() : builder_(&graph_, FindTestOp) {}

  TensorId Variable(absl::string_view name, int64_t size = 4) {
    return builder_.Add1("variable", name, {}, {{"size", size}});
  }
  std::string VerifyError() const {
    return std::string(VerifyGraph(graph_, FindTestOp).message());
  }
  // The message of the error that adding this gives.
  std::string AddError(absl::string_view op, absl::Span<const TensorId> inputs,
                       Attributes attributes = {}) {
    const size_t nodes = graph_.nodes.size();
    const auto result = builder_.Add(op, "node", inputs, std::move(attributes));
    EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << result.status();
    EXPECT_EQ(graph_.nodes.size(), nodes) << "nothing is added";
    return std::string(result.status().message());
  }

  Graph graph_;
  GraphBuilder builder_;
};

TEST_F(GraphBuilderTest, AddsNodesWithInferredTypesAndDefaults) {
  const TensorId a = Variable("a");
  const TensorId b = Variable("b");
  builder_.set_origin({"layer1", "head", Phase::kForward, true});
  const auto outputs = builder_.Add("join", "j", {a, b});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  ASSERT_EQ(outputs->size(), 2);
  EXPECT_EQ(graph_.tensors[(*outputs)[0]].name, "j");
  EXPECT_EQ(graph_.tensors[(*outputs)[1]].name, "j:1");
  EXPECT_EQ(graph_.tensors[(*outputs)[1]].output_index, 1);
  EXPECT_EQ(builder_.type((*outputs)[1]).ToString(), "float32[4]");
  EXPECT_EQ(graph_.nodes[0].attributes.Float("value"), 0.0);
  EXPECT_EQ(graph_.nodes[0].origin.layer, "a");  // None set: the name.
  EXPECT_EQ(graph_.nodes[2].origin.layer, "layer1");
  EXPECT_TRUE(graph_.nodes[2].origin.keep_float32);
  EXPECT_EQ(VerifyError(), "");
}

TEST_F(GraphBuilderTest, MakesNamesUnique) {
  Variable("v");
  Variable("v_2");
  Variable("v");
  Variable("v");
  std::string names;
  for (const Node& node : graph_.nodes) names += node.name + " ";
  EXPECT_EQ(names, "v v_2 v_3 v_4 ");
  // So does a builder that continues a graph.
  GraphBuilder later(&graph_, FindTestOp);
  later.Add1("variable", "v", {}, {{"size", int64_t{1}}});
  EXPECT_EQ(graph_.nodes.back().name, "v_5");
  EXPECT_EQ(VerifyError(), "");
}

TEST_F(GraphBuilderTest, RefusesWhatTheOpDoesNotKnow) {
  EXPECT_EQ(AddError("convolve", {}), "node: unknown op \"convolve\"");
  EXPECT_EQ(AddError("variable", {}),
            "node: op variable needs the attribute \"size\"");
  EXPECT_EQ(AddError("variable", {}, {{"size", 4.0}}),
            "node: attribute \"size\" of op variable is 4, a float; expected "
            "a int");
  EXPECT_EQ(
      AddError("variable", {}, {{"size", int64_t{4}}, {"sise", int64_t{4}}}),
      "node: op variable has no attribute \"sise\"; it has: size, value");
}

TEST_F(GraphBuilderTest, RefusesAWrongNumberOfInputs) {
  const TensorId a = Variable("a");
  EXPECT_EQ(AddError("join", {a}),
            "node: op join got 1 inputs; it takes (a, b, c), the last "
            "optional");
  EXPECT_THAT(AddError("join", {a, a, a, a}), HasSubstr("got 4 inputs"));
  EXPECT_TRUE(builder_.Add("join", "three", {a, a, a}).ok());
}

TEST_F(GraphBuilderTest, RefusesTypesThatTheOpRefuses) {
  const TensorId a = Variable("a", 4);
  const TensorId b = Variable("b", 5);
  EXPECT_EQ(AddError("join", {a, b}), "node: b must be like a");
}

TEST_F(GraphBuilderTest, Add1KeepsTheFirstError) {
  const TensorId a = Variable("a", 4);
  const TensorId b = Variable("b", 5);
  EXPECT_EQ(builder_.Add1("join", "bad", {a, b}), kNone);
  // An input that is kNone is not looked at after an error.
  EXPECT_EQ(builder_.Add1("join", "worse", {a, kNone}), kNone);
  EXPECT_EQ(builder_.status().message(), "bad: b must be like a");
  EXPECT_EQ(graph_.nodes.size(), 2);
}

TEST_F(GraphBuilderTest, GradientNodesAreNamedAfterTheirNode) {
  const TensorId a = Variable("a");
  builder_.set_origin({"layer1", "head", Phase::kForward, true});
  const auto outputs = builder_.Add("join", "j", {a, a});
  ASSERT_TRUE(outputs.ok());
  GradientContext context(&builder_, 1, {(*outputs)[0], kNone});
  EXPECT_EQ(context.output_gradient(1), kNone);
  EXPECT_TRUE(context.wants_input_gradient(1));
  const auto gradient =
      context.Add("join", {context.input(0), context.output_gradient(0)});
  ASSERT_TRUE(gradient.ok()) << gradient.status();
  context.set_input_gradient(0, (*gradient)[0]);
  EXPECT_EQ(context.input_gradient(0), (*gradient)[0]);
  EXPECT_EQ(context.input_gradient(1), kNone);
  EXPECT_EQ(graph_.nodes.back().name, "j/join");
  EXPECT_EQ(graph_.nodes.back().origin.phase, Phase::kBackward);
  EXPECT_EQ(graph_.nodes.back().origin.part, "head");
  EXPECT_TRUE(graph_.nodes.back().origin.keep_float32);
  EXPECT_DEATH(context.set_input_gradient(1, Variable("other", 5)),
               "gradient is float32\\[5\\], input is float32\\[4\\]");
}

TEST_F(GraphBuilderTest, LegalSignaturesLeaveNoDeviceEmpty) {
  const TensorId a = Variable("a", 3);
  ASSERT_TRUE(builder_.Add("join", "j", {a, a}).ok());
  const NodeCall call(graph_, 1);
  const OpDef& def = builder_.def(1);
  const std::vector<Signature> on_three = LegalSignatures(def, call.call(), 3);
  ASSERT_EQ(on_three.size(), 2);
  EXPECT_EQ(on_three[0], Uniform(2, 2, Sbp::B()));
  EXPECT_EQ(on_three[1], Uniform(2, 2, Sbp::S(0)));
  EXPECT_EQ(LegalSignatures(def, call.call(), 4).size(), 1);
  // No cost given: the bytes of all four operands.
  EXPECT_EQ(LocalCost(def, call.call()).bytes, 4 * 3 * 4);
  EXPECT_EQ(LocalCost(def, call.call()).flops, 0);
}

class VerifyGraphTest : public GraphBuilderTest {
 protected:
  VerifyGraphTest() {
    const TensorId a = Variable("a");
    const TensorId b = Variable("b");
    join_ = builder_.Add1("join", "j", {a, b});
    EXPECT_TRUE(builder_.Add("update", "u", {a, join_}).ok());
    EXPECT_EQ(VerifyError(), "");
  }
  TensorId join_;
};

TEST_F(VerifyGraphTest, FindsAWrongOrder) {
  std::swap(graph_.nodes[1], graph_.nodes[2]);
  EXPECT_EQ(VerifyError(),
            "graph node j (join): reads b, which no earlier node produces");
}

TEST_F(VerifyGraphTest, FindsNamesUsedTwice) {
  graph_.nodes[1].name = "a";
  EXPECT_EQ(VerifyError(), "graph node a (variable): name used twice");
}

TEST_F(VerifyGraphTest, FindsUnknownOps) {
  graph_.nodes[2].op = "unite";
  EXPECT_EQ(VerifyError(), "graph node j (unite): unknown op");
}

TEST_F(VerifyGraphTest, FindsAStoredTypeThatInferDoesNotGive) {
  graph_.tensors[join_].type.dtype = DataType::kBFloat16;
  EXPECT_EQ(VerifyError(),
            "graph node j (join): output j is bfloat16[4], infer gives "
            "float32[4]");
}

TEST_F(VerifyGraphTest, FindsIdsOutOfRange) {
  graph_.nodes[2].inputs[0] = 99;
  EXPECT_EQ(VerifyError(), "graph node j (join): input id 99");
  graph_.nodes[2].inputs[0] = kNone;
  EXPECT_EQ(VerifyError(), "graph node j (join): input id -1");
}

TEST_F(VerifyGraphTest, FindsAWrongNumberOfOutputs) {
  graph_.nodes[2].outputs.pop_back();
  EXPECT_EQ(VerifyError(), "graph node j (join): has 1 outputs, infer gives 2");
}

TEST_F(VerifyGraphTest, FindsAProducerThatDoesNotMatch) {
  graph_.tensors[join_].producer = 0;
  EXPECT_EQ(VerifyError(),
            "graph node j (join): output j names another producer");
}

TEST_F(VerifyGraphTest, FindsTensorsWithoutProducer) {
  graph_.tensors.push_back({"lost", {}, kNone, 0});
  EXPECT_EQ(VerifyError(), "graph tensor lost has no producer");
}

TEST_F(VerifyGraphTest, OnlyVariablesMayBeMutatedAndOnce) {
  graph_.nodes[3].inputs[0] = join_;
  EXPECT_EQ(VerifyError(),
            "graph node u (update): mutates j, which is not a variable");
  graph_.nodes[3].inputs[0] = 0;
  ASSERT_TRUE(builder_.Add("update", "u2", {0, join_}).ok());
  EXPECT_EQ(VerifyError(),
            "graph node u2 (update): mutates a, as u does already");
}

}  // namespace
}  // namespace facet::ops
