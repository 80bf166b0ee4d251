#include "ops/margin_softmax/fuse.h"

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
  bool same_labels = true;     // Of margin and loss.
  bool same_margin = true;     // Of margin and its gradient.
  std::string also_read = {};  // A value that is needed elsewhere.
};

// The loss of cosines and its gradient by the ops' own rules; what the fuse
// rule leaves of them, without operands and reports.
Counts OpsAfterFusing(const Options& options) {
  Graph graph;
  GraphBuilder builder(&graph, FindOpOrGiven);
  auto report = [&](const std::string& name, TensorId tensor) {
    builder.Add1("fetch", "fetch_" + name, {tensor}, {{"name", name}});
  };
  const TensorId cos = AddGiven(&builder, "cos", {DataType::kFloat32, {4, 9}});
  const TensorType per_row = {DataType::kInt32, {4}};
  const TensorId labels = AddGiven(&builder, "labels", per_row);
  const TensorId others =
      options.same_labels ? labels : AddGiven(&builder, "others", per_row);
  const TensorId logits =
      builder.Add1("combined_margin", "logits", {cos, labels});
  const TensorId max = builder.Add1("row_max", "max", {logits});
  const TensorId sum = builder.Add1("row_sum_exp", "sum", {logits, max});
  const TensorId loss =
      builder.Add1("softmax_cross_entropy", "loss", {logits, max, sum, others});
  report("loss", loss);
  std::map<std::string, TensorId> values = {
      {"logits", logits}, {"max", max}, {"sum", sum}};
  if (options.train) {
    const TensorId dloss =
        AddGiven(&builder, "dloss", {DataType::kFloat32, {}});
    GradientContext of_loss(&builder, graph.tensors[loss].producer, {dloss});
    of_loss.set_wanted({true, false, false, false});
    EXPECT_TRUE(FindOp("softmax_cross_entropy")->gradient(&of_loss).ok());
    const TensorId dlogits = of_loss.input_gradient(0);
    GradientContext of_margin(&builder, graph.tensors[logits].producer,
                              {dlogits});
    of_margin.set_wanted({true, false});
    EXPECT_TRUE(FindOp("combined_margin")->gradient(&of_margin).ok());
    report("dcos", of_margin.input_gradient(0));
    values["dlogits"] = dlogits;
    for (Node& node : graph.nodes) {
      if (node.op != "combined_margin_grad" || options.same_margin) continue;
      node.attributes.Set("m2", 0.4);
    }
  }
  if (!options.also_read.empty()) {
    report(options.also_read, values.at(options.also_read));
  }
  EXPECT_TRUE(builder.status().ok()) << builder.status();

  FusionContext context(&builder);
  const absl::Status status = FuseMarginSoftmax(&context);
  EXPECT_TRUE(status.ok()) << status;
  return OpsLeft(context);
}

const Counts kUnfused = {{"combined_margin", 1},
                         {"row_max", 1},
                         {"row_sum_exp", 1},
                         {"softmax_cross_entropy", 1},
                         {"softmax_cross_entropy_grad", 1},
                         {"combined_margin_grad", 1}};
const Counts kFused = {{"margin_softmax_max", 1},
                       {"margin_softmax_sum", 1},
                       {"margin_softmax_loss", 1},
                       {"margin_softmax_grad", 1}};

TEST(FuseMarginSoftmaxTest, Training) { EXPECT_EQ(OpsAfterFusing({}), kFused); }

TEST(FuseMarginSoftmaxTest, LossWithoutGradients) {
  Counts forward = kFused;
  forward.erase("margin_softmax_grad");
  EXPECT_EQ(OpsAfterFusing({.train = false}), forward);
}

TEST(FuseMarginSoftmaxTest, StatisticsMayBeReadElsewhere) {
  EXPECT_EQ(OpsAfterFusing({.also_read = "max"}), kFused);
  EXPECT_EQ(OpsAfterFusing({.also_read = "sum"}), kFused);
}

TEST(FuseMarginSoftmaxTest, LeavesWhatIsNeededElsewhere) {
  EXPECT_EQ(OpsAfterFusing({.also_read = "logits"}), kUnfused);
  EXPECT_EQ(OpsAfterFusing({.also_read = "dlogits"}), kUnfused);
}

TEST(FuseMarginSoftmaxTest, LeavesWhatIsNoGradientOfTheOther) {
  EXPECT_EQ(OpsAfterFusing({.same_labels = false}), kUnfused);
  EXPECT_EQ(OpsAfterFusing({.same_margin = false}), kUnfused);
}

}  // namespace
}  // namespace facet::ops
