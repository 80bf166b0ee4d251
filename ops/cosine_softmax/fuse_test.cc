#include "ops/cosine_softmax/fuse.h"

#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/given_op.h"
#include "ops/testing/ops_left.h"

namespace facet::ops {
namespace {

using Counts = std::map<std::string, int>;

struct Options {
  double scale = 64;
  bool normalized = true;    // x.
  bool same_margin = true;   // Of all passes.
  bool same_product = true;  // Of all products.
  bool same_input = true;    // Of the cosines and the update.
  bool train_input = true;
  bool finds_overflow = false;
  std::string also_read = {};  // A value that is needed elsewhere.
};

// A head in training; what the fuse rule leaves of it, without operands and
// reports.
Counts OpsAfterFusing(const Options& options, std::string* norm_of = nullptr) {
  constexpr DataType kFloat32 = DataType::kFloat32;
  Graph graph;
  GraphBuilder b(&graph, FindOpOrGiven);
  const TensorType scalar = {kFloat32, {}};
  const TensorId features = AddGiven(&b, "features", {kFloat32, {4, 8}});
  const TensorId x =
      options.normalized ? b.Add1("l2_normalize", "x", {features}) : features;
  auto variable = [&](const char* name) {
    return b.Add1("variable", name, {},
                  {{"shape", std::vector<int64_t>{9, 8}},
                   {"init", std::string("normal")},
                   {"stddev", 0.01}});
  };
  const TensorId w = variable("w"), momentum = variable("momentum");
  const TensorId labels = AddGiven(&b, "labels", {DataType::kInt32, {4}});
  const TensorId dloss = AddGiven(&b, "dloss", scalar);
  const TensorId lr = AddGiven(&b, "lr", scalar);
  const TensorId scale = AddGiven(&b, "gradient_scale", scalar);
  const Attributes margin = {{"scale", options.scale}};
  const Attributes other = {{"scale", options.scale}, {"m2", 0.4}};
  const TensorId cos = b.Add1("cosine_linear", "cos", {x, w});
  const TensorId max =
      b.Add1("margin_softmax_max", "max", {cos, labels}, margin);
  const TensorId sum =
      b.Add1("margin_softmax_sum", "sum", {cos, labels, max}, margin);
  const TensorId loss =
      b.Add1("margin_softmax_loss", "loss", {cos, labels, max, sum}, margin);
  const TensorId dcos =
      b.Add1("margin_softmax_grad", "dcos", {cos, labels, max, sum, dloss},
             options.same_margin ? margin : other);
  std::map<std::string, TensorId> values = {
      {"cos", cos}, {"max", max}, {"sum", sum}, {"dcos", dcos}};
  auto report = [&](const std::string& name, TensorId tensor) {
    b.Add1("fetch", "fetch_" + name, {tensor}, {{"name", name}});
  };
  report("loss", loss);
  if (options.train_input) {
    report("dx", b.Add1("cosine_linear_grad_input", "dx", {dcos, w},
                        {{"may_round", !options.same_product}}));
  }
  const TensorId other_x = AddGiven(&b, "other_x", {kFloat32, {4, 8}});
  std::vector<TensorId> inputs = {w, momentum, options.same_input ? x : other_x,
                                  dcos, lr};
  if (options.finds_overflow) {
    const TensorId norm = b.Add1("square_norm", "norm", {dcos});
    values["norm"] = norm;
    inputs.push_back(scale);
    inputs.push_back(b.Add1("overflow", "overflow", {norm}));
  }
  EXPECT_TRUE(b.Add("cosine_linear_sgd", "sgd", inputs).ok());
  if (!options.also_read.empty()) {
    report("elsewhere", values.at(options.also_read));
  }
  EXPECT_TRUE(b.status().ok()) << b.status();

  FusionContext context(&b);
  const absl::Status status = FuseCosineSoftmax(&context);
  EXPECT_TRUE(status.ok()) << status;
  for (const Node& node : graph.nodes) {
    if (norm_of != nullptr && node.op == "overflow") {
      const Node& norm = graph.nodes[graph.tensors[node.inputs[0]].producer];
      *norm_of = graph.nodes[graph.tensors[norm.inputs[0]].producer].op;
    }
  }
  Counts counts = OpsLeft(context);
  std::erase_if(counts, [](const auto& op) {
    return op.first.rfind("cos", 0) != 0 && op.first.rfind("margin", 0) != 0;
  });
  return counts;
}

const Counts kFused = {{"cosine_softmax_sum", 1},
                       {"cosine_softmax_loss", 1},
                       {"cosine_softmax_grad_input", 1},
                       {"cosine_softmax_sgd", 1}};

TEST(FuseCosineSoftmaxTest, Training) { EXPECT_EQ(OpsAfterFusing({}), kFused); }

TEST(FuseCosineSoftmaxTest, LossScaling) {
  std::string norm_of;
  EXPECT_EQ(OpsAfterFusing({.finds_overflow = true}, &norm_of), kFused);
  EXPECT_EQ(norm_of, "cosine_softmax_grad_input");
  // A norm that somebody wants to know.
  EXPECT_EQ(OpsAfterFusing({.finds_overflow = true, .also_read = "norm"})
                .count("cosine_softmax_sum"),
            0);
}

TEST(FuseCosineSoftmaxTest, LeavesWhatIsNeededElsewhere) {
  for (const char* value : {"cos", "max", "sum", "dcos"}) {
    EXPECT_EQ(OpsAfterFusing({.also_read = value}).count("cosine_softmax_sum"),
              0)
        << value;
  }
}

TEST(FuseCosineSoftmaxTest, LeavesWhatIsNotAlike) {
  for (const Options& options :
       {Options{.same_margin = false}, Options{.same_product = false},
        Options{.same_input = false}, Options{.train_input = false}}) {
    EXPECT_EQ(OpsAfterFusing(options).count("cosine_softmax_sum"), 0);
  }
}

TEST(FuseCosineSoftmaxTest, LeavesLogitsThatMayBeLarge) {
  for (const Options& options :
       {Options{.scale = 65}, Options{.normalized = false}}) {
    EXPECT_EQ(OpsAfterFusing(options).count("cosine_softmax_sum"), 0);
  }
}

}  // namespace
}  // namespace facet::ops
