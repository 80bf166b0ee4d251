#include "ops/batch_norm_add/fuse.h"

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
  bool shortcut_first = false;
  bool also_read = false;          // What batch norm makes is needed elsewhere.
  int64_t statistics_groups = 2;   // 0: no statistics of the sum.
  const char* shortcut = "given";  // Or "batch_norm", or "same".
};

class Block {
 public:
  Block() : builder_(&graph_, FindOpOrGiven) {
    for (const char* name : {"x", "addend", "dy"}) {
      Given(name, {6, 3, 2, 2});
    }
    for (const char* name : {"sum", "square_sum", "db", "ds"}) {
      Given(name, {2, 3});
    }
    for (const char* name : {"scale", "bias"}) Given(name, {3});
  }

  TensorId Add(const char* op, const std::vector<const char*>& inputs) {
    std::vector<TensorId> ids;
    for (const char* input : inputs) ids.push_back(FindTensor(graph_, input));
    return builder_.Add1(op, op, ids, {{"groups", int64_t{2}}});
  }
  // Reads it.
  void Report(TensorId tensor) {
    const std::string name = graph_.tensors[tensor].name;
    builder_.Add1("fetch", "fetch_" + name, {tensor}, {{"name", name}});
  }
  GraphBuilder& builder() { return builder_; }

  // What the rule leaves, without operands and reports.
  Counts OpsAfter(absl::Status (*rule)(FusionContext*)) {
    EXPECT_TRUE(builder_.status().ok()) << builder_.status();
    FusionContext context(&builder_);
    const absl::Status status = rule(&context);
    EXPECT_TRUE(status.ok()) << status;
    return OpsLeft(context);
  }

 private:
  void Given(const char* name, Shape shape) {
    AddGiven(&builder_, name, {DataType::kFloat32, std::move(shape)});
  }

  Graph graph_;
  GraphBuilder builder_;
};

Counts OpsAfterFusing(const Options& options) {
  Block block;
  const std::vector<const char*> norm = {"x", "sum", "square_sum", "scale",
                                         "bias"};
  const TensorId v = block.Add("batch_norm", norm);
  TensorId shortcut = v;
  if (options.shortcut == std::string("given")) {
    shortcut = FindTensor(block.builder().graph(), "addend");
  } else if (options.shortcut == std::string("batch_norm")) {
    shortcut = block.Add("batch_norm", norm);
  }
  const TensorId y = block.builder().Add1(
      "add", "y",
      options.shortcut_first ? std::vector<TensorId>{shortcut, v}
                             : std::vector<TensorId>{v, shortcut});
  block.Report(y);
  if (options.also_read) block.Report(v);
  if (options.statistics_groups > 0) {
    const TensorId sum =
        block.builder().Add1("batch_norm_statistics", "statistics", {y},
                             {{"groups", options.statistics_groups}});
    block.Report(sum);
    block.Report(sum + 1);
  }
  return block.OpsAfter(FuseBatchNormAdd);
}

TEST(FuseBatchNormAddTest, FusesTheAdditionAndItsStatistics) {
  const Counts fused = {{"batch_norm_add", 1}};
  EXPECT_EQ(OpsAfterFusing({}), fused);
  EXPECT_EQ(OpsAfterFusing({.shortcut_first = true}), fused);
  EXPECT_EQ(OpsAfterFusing({.statistics_groups = 0}), fused);
}

TEST(FuseBatchNormAddTest, TakesOneOfTwoBatchNorms) {
  EXPECT_EQ(OpsAfterFusing({.shortcut = "batch_norm"}),
            (Counts{{"batch_norm_add", 1}, {"batch_norm", 1}}));
}

TEST(FuseBatchNormAddTest, LeavesWhatOthersNeed) {
  const Counts all = {
      {"batch_norm", 1}, {"add", 1}, {"batch_norm_statistics", 1}};
  EXPECT_EQ(OpsAfterFusing({.also_read = true}), all);
  EXPECT_EQ(OpsAfterFusing({.shortcut = "same"}), all);
  // Statistics by other groups are not those of the op.
  EXPECT_EQ(OpsAfterFusing({.statistics_groups = 3}),
            (Counts{{"batch_norm_add", 1}, {"batch_norm_statistics", 1}}));
}

TEST(FuseBatchNormAddTest, FusesWhereGradientsMeet) {
  for (bool also_read : {false, true}) {
    Block block;
    const TensorId v =
        block.Add("batch_norm_grad_input",
                  {"dy", "x", "sum", "square_sum", "scale", "db", "ds"});
    const TensorId addend = FindTensor(block.builder().graph(), "addend");
    block.Report(block.builder().Add1("add", "dx", {addend, v}));
    if (also_read) block.Report(v);
    EXPECT_EQ(block.OpsAfter(FuseBatchNormGradInputAdd),
              also_read ? (Counts{{"batch_norm_grad_input", 1}, {"add", 1}})
                        : (Counts{{"batch_norm_grad_input_add", 1}}));
  }
}

}  // namespace
}  // namespace facet::ops
