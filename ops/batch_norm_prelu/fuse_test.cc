#include "ops/batch_norm_prelu/fuse.h"

#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ops/gradient.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/given_op.h"
#include "ops/testing/ops_left.h"

namespace facet::ops {
namespace {

using Counts = std::map<std::string, int>;

struct Options {
  bool train = true;
  bool input_gradient = true;
  bool alpha_gradient = true;
  std::string also_read = {};  // "v" or "dv": the value is needed elsewhere.
  int64_t groups_of_gradient = 2;
};

// Batch norm, PReLU and their gradients by the ops' own rules; what the fuse
// rule leaves of them, without operands and reports.
Counts OpsAfterFusing(const Options& options) {
  Graph graph;
  GraphBuilder builder(&graph, FindOpOrGiven);
  auto report = [&](const std::string& name, TensorId tensor) {
    builder.Add1("fetch", "fetch_" + name, {tensor}, {{"name", name}});
  };
  const TensorType activation = {DataType::kFloat32, {6, 3, 2, 2}};
  const TensorType grouped = {DataType::kFloat32, {2, 3}};
  const TensorType channel = {DataType::kFloat32, {3}};
  const TensorId x = AddGiven(&builder, "x", activation);
  const std::vector<TensorId> inputs = {x, AddGiven(&builder, "sum", grouped),
                                        AddGiven(&builder, "sq", grouped),
                                        AddGiven(&builder, "scale", channel),
                                        AddGiven(&builder, "bias", channel)};
  const TensorId alpha = AddGiven(&builder, "alpha", channel);
  const TensorId dy = AddGiven(&builder, "dy", activation);
  const TensorId v =
      builder.Add1("batch_norm", "v", inputs, {{"groups", int64_t{2}}});
  const TensorId y = builder.Add1("prelu", "y", {v, alpha});
  report("y", y);
  if (options.also_read == "v") report("v", v);
  if (options.train) {
    GradientContext prelu(&builder, graph.tensors[y].producer, {dy});
    prelu.set_wanted({true, options.alpha_gradient});
    EXPECT_TRUE(FindOp("prelu")->gradient(&prelu).ok());
    if (options.alpha_gradient) report("dalpha", prelu.input_gradient(1));
    const TensorId dv = prelu.input_gradient(0);
    if (options.also_read == "dv") report("dv", dv);
    GradientContext norm(&builder, graph.tensors[v].producer, {dv});
    norm.set_wanted({options.input_gradient, false, false, true, true});
    EXPECT_TRUE(FindOp("batch_norm")->gradient(&norm).ok());
    for (int i : {0, 3, 4}) {
      if (i == 0 && !options.input_gradient) continue;
      report("gradient" + std::to_string(i), norm.input_gradient(i));
    }
    for (Node& node : graph.nodes) {
      if (node.op != "batch_norm_grad_statistics") continue;
      if (options.groups_of_gradient == 2) continue;
      node.attributes.Set("groups", options.groups_of_gradient);
    }
  }
  EXPECT_TRUE(builder.status().ok()) << builder.status();

  FusionContext context(&builder);
  const absl::Status status = FuseBatchNormPrelu(&context);
  EXPECT_TRUE(status.ok()) << status;
  return OpsLeft(context);
}

TEST(FuseBatchNormPreluTest, FusesForwardAndGradients) {
  EXPECT_EQ(OpsAfterFusing({}), (Counts{{"batch_norm_prelu", 1},
                                        {"batch_norm_prelu_grad_statistics", 1},
                                        {"batch_norm_prelu_grad_input", 1},
                                        {"reduce_sum", 3}}));
}

TEST(FuseBatchNormPreluTest, GradientsMayBeAbsent) {
  EXPECT_EQ(OpsAfterFusing({.train = false}),
            (Counts{{"batch_norm_prelu", 1}}));
  EXPECT_EQ(OpsAfterFusing({.input_gradient = false}),
            (Counts{{"batch_norm_prelu", 1},
                    {"batch_norm_prelu_grad_statistics", 1},
                    {"reduce_sum", 3}}));
  EXPECT_EQ(OpsAfterFusing({.alpha_gradient = false}),
            (Counts{{"batch_norm_prelu", 1},
                    {"batch_norm_prelu_grad_statistics", 1},
                    {"batch_norm_prelu_grad_input", 1},
                    {"reduce_sum", 2}}));
}

TEST(FuseBatchNormPreluTest, LeavesWhatOthersNeed) {
  const Counts all = {{"batch_norm", 1},
                      {"prelu", 1},
                      {"prelu_grad", 1},
                      {"batch_norm_grad_statistics", 1},
                      {"batch_norm_grad_input", 1},
                      {"reduce_sum", 2}};
  EXPECT_EQ(OpsAfterFusing({.also_read = "v"}), all);
  EXPECT_EQ(OpsAfterFusing({.also_read = "dv"}), all);
  EXPECT_EQ(OpsAfterFusing({.groups_of_gradient = 1}), all);
}

}  // namespace
}  // namespace facet::ops
