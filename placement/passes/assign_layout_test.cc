#include "placement/passes/assign_layout.h"

#include <string>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "placement/passes/append_optimizer.h"
#include "placement/passes/apply_precision.h"
#include "placement/passes/autodiff.h"
#include "placement/passes/small_network.h"

namespace facet::placement {
namespace {

using ops::Layout;
using ops::Sbp;
using ops::TensorId;

// Hardware that likes blocks of 8.
constexpr ops::KernelLibrary kBlocked8 = {
    "test", [](absl::string_view) -> const ops::KernelDef* { return nullptr; },
    [](ops::DataType) { return Layout::kBlocked8; }};

Cluster Devices(int count, const ops::KernelLibrary* kernels = &kBlocked8) {
  Cluster cluster = UniformCluster(count, DeviceSpec(), MeshAxis());
  cluster.kernels = kernels;
  return cluster;
}

class AssignLayoutTest : public ::testing::Test {
 protected:
  AssignLayoutTest() : builder_(&placed_.graph, ops::FindOp) {}

  // A node whose outputs all lie like this.
  TensorId Add(const std::string& op, const std::string& name,
               const std::vector<TensorId>& inputs, Sbp sbp,
               ops::Attributes attributes = {}) {
    const TensorId output = builder_.Add1(op, name, inputs, attributes);
    CHECK(builder_.status().ok()) << builder_.status();
    placed_.sbp.resize(placed_.graph.tensors.size(), sbp);
    return output;
  }
  TensorId Fill(const std::string& name, std::vector<int64_t> shape, Sbp sbp) {
    return Add("fill", name, {}, sbp, {{"shape", std::move(shape)}});
  }
  // A convolution of row-major images: written as the kernels like.
  TensorId Conv(const std::string& name, int64_t channels, Sbp sbp) {
    const Sbp images = sbp == Sbp::S(0) ? Sbp::S(0) : Sbp::B();
    const Sbp weight = sbp == Sbp::S(1) ? Sbp::S(0) : Sbp::B();
    const TensorId x = Fill(name + ".x", {4, 3, 2, 2}, images);
    const TensorId w = Fill(name + ".w", {channels, 3, 1, 1}, weight);
    return Add("conv2d", name, {x, w}, sbp);
  }
  void Fetch(TensorId tensor) {
    Add("fetch", "fetch", {tensor}, Sbp::B(), {{"name", std::string("y")}});
  }
  LaidOutGraph Assign(const Cluster& cluster) {
    absl::StatusOr<LaidOutGraph> result =
        AssignLayout(placed_, cluster, ops::FindOp);
    CHECK(result.ok()) << result.status();
    const absl::Status verified = ops::VerifyGraph(result->graph, ops::FindOp);
    CHECK(verified.ok()) << verified;
    CHECK_EQ(result->sbp.size(), result->graph.tensors.size());
    CHECK_EQ(result->layout.size(), result->graph.tensors.size());
    return *std::move(result);
  }
  static Layout LayoutOf(const LaidOutGraph& graph, const std::string& tensor) {
    const TensorId id = ops::FindTensor(graph.graph, tensor);
    CHECK_NE(id, ops::kNone) << tensor;
    return graph.layout[id];
  }
  static std::string Input(const LaidOutGraph& graph, const std::string& node,
                           int i = 0) {
    return graph.graph.tensors[NodeOf(graph.graph, node).inputs[i]].name;
  }

  PlacedGraph placed_;
  ops::GraphBuilder builder_;
};

TEST_F(AssignLayoutTest, ANetworkNeedsNoReorders) {
  for (bool half : {false, true}) {
    const SmallNetwork network = MakeSmallNetwork();
    absl::StatusOr<DifferentiatedGraph> differentiated =
        Autodiff(network.graph, network.loss, 0, ops::FindOp);
    ASSERT_TRUE(differentiated.ok()) << differentiated.status();
    OptimizerOptions options;
    options.clip_norm = 0;
    absl::StatusOr<ops::Graph> training =
        AppendOptimizer(*std::move(differentiated), options, ops::FindOp);
    ASSERT_TRUE(training.ok()) << training.status();
    if (half) {
      training =
          ApplyPrecision(*training, ops::DataType::kBFloat16, ops::FindOp);
      ASSERT_TRUE(training.ok()) << training.status();
    }
    placed_ = {*training,
               std::vector<ops::NdSbp>(training->tensors.size(), Sbp::B())};
    const LaidOutGraph result = Assign(Devices(1));
    EXPECT_EQ(CountOp(result.graph, "reorder"), 0);
    for (const char* blocked :
         {"conv1", "bn1", "prelu", "conv2", "block", "flatten/unflatten",
          "conv2/conv2d_grad_input", "prelu/prelu_grad",
          "bn1/batch_norm_grad_input"}) {
      EXPECT_EQ(LayoutOf(result, blocked), Layout::kBlocked8) << blocked;
    }
    // 3 channels; a weight, its cast and its gradient.
    for (const char* row_major :
         {"images", "conv2.weight", half ? "conv2.weight/cast_bfloat16" : "fc",
          "conv2/conv2d_grad_weight", "conv2.weight.momentum", "flatten"}) {
      EXPECT_EQ(LayoutOf(result, row_major), Layout::kRowMajor) << row_major;
    }
  }
}

TEST_F(AssignLayoutTest, UnknownHardwareIsRowMajor) {
  Fetch(Conv("y", 16, Sbp::S(0)));
  const LaidOutGraph result = Assign(Devices(2, nullptr));
  EXPECT_EQ(result.graph.nodes.size(), placed_.graph.nodes.size());
  EXPECT_EQ(LayoutOf(result, "y"), Layout::kRowMajor);
}

TEST_F(AssignLayoutTest, ChannelsOfEveryShareMustBeWholeBlocks) {
  Fetch(Conv("even", 16, Sbp::S(0)));
  Fetch(Conv("odd", 12, Sbp::S(0)));
  Fetch(Conv("split", 16, Sbp::S(1)));           // 8 and 8.
  Fetch(Conv("split_unevenly", 24, Sbp::S(1)));  // 12 and 12.
  const LaidOutGraph result = Assign(Devices(2));
  EXPECT_EQ(LayoutOf(result, "even"), Layout::kBlocked8);
  EXPECT_EQ(LayoutOf(result, "odd"), Layout::kRowMajor);
  EXPECT_EQ(LayoutOf(result, "split"), Layout::kBlocked8);
  EXPECT_EQ(LayoutOf(result, "split_unevenly"), Layout::kRowMajor);
}

TEST_F(AssignLayoutTest, ReadersThatAreRowMajorShareAReorder) {
  const TensorId y = Conv("y", 16, Sbp::S(0));
  Add("square_norm", "norm", {y}, Sbp::PSum());
  Fetch(y);
  const LaidOutGraph result = Assign(Devices(2));
  EXPECT_EQ(CountOp(result.graph, "reorder"), 1);
  EXPECT_EQ(Input(result, "norm"), "y/nchw");
  EXPECT_EQ(Input(result, "fetch"), "y/nchw");
  EXPECT_EQ(LayoutOf(result, "y/nchw"), Layout::kRowMajor);
  const TensorId reordered = ops::FindTensor(result.graph, "y/nchw");
  EXPECT_EQ(result.sbp[reordered], Sbp::S(0));
  EXPECT_EQ(NodeOf(result.graph, "y/nchw").op, "reorder");
}

TEST_F(AssignLayoutTest, OperandsThatDisagreeTakeWhatTheKernelsLike) {
  const TensorId blocked = Conv("blocked", 16, Sbp::S(0));
  const TensorId plain = Fill("plain", {4, 16, 2, 2}, Sbp::S(0));
  Add("add", "sum", {plain, blocked}, Sbp::S(0));
  Add("add_n", "sum_n", {blocked, blocked, plain}, Sbp::S(0));
  Add("add", "plain_sum", {plain, plain}, Sbp::S(0));
  const LaidOutGraph result = Assign(Devices(2));
  EXPECT_EQ(LayoutOf(result, "sum"), Layout::kBlocked8);
  EXPECT_EQ(Input(result, "sum", 0), "plain/nChw8c");
  EXPECT_EQ(Input(result, "sum", 1), "blocked");
  EXPECT_EQ(LayoutOf(result, "sum_n"), Layout::kBlocked8);
  EXPECT_EQ(Input(result, "sum_n", 1), "blocked");
  EXPECT_EQ(Input(result, "sum_n", 2), "plain/nChw8c");
  EXPECT_EQ(CountOp(result.graph, "reorder"), 1);
  // Nothing is gained by reordering two to add them.
  EXPECT_EQ(LayoutOf(result, "plain_sum"), Layout::kRowMajor);
}

TEST_F(AssignLayoutTest, WholeRowsMoveAsTheyLie) {
  const TensorId split = Conv("split", 16, Sbp::S(0));
  const TensorId partial = Conv("partial", 16, Sbp::PSum());
  Add("boxing", "gathered", {split}, Sbp::B());
  Add("boxing", "reduced", {partial}, Sbp::B());
  Add("boxing", "scattered", {partial}, Sbp::S(0));
  const LaidOutGraph result = Assign(Devices(2));
  EXPECT_EQ(CountOp(result.graph, "reorder"), 0);
  for (const char* moved : {"gathered", "reduced", "scattered"}) {
    EXPECT_EQ(LayoutOf(result, moved), Layout::kBlocked8) << moved;
  }
}

TEST_F(AssignLayoutTest, BoxingWithinRowsIsReorderedAround) {
  const TensorId y = Conv("y", 32, Sbp::S(0));
  const TensorId moved = Add("boxing", "moved", {y}, Sbp::S(1));
  const TensorId scaled =
      Add("scale", "scaled", {moved}, Sbp::S(1), {{"factor", 2.0}});
  Fetch(scaled);
  const LaidOutGraph result = Assign(Devices(2));
  EXPECT_EQ(LayoutOf(result, "y"), Layout::kBlocked8);
  EXPECT_EQ(Input(result, "moved"), "y/nchw");
  EXPECT_EQ(LayoutOf(result, "moved"), Layout::kRowMajor);
  EXPECT_EQ(Input(result, "scaled"), "moved/nChw8c");
  EXPECT_EQ(LayoutOf(result, "scaled"), Layout::kBlocked8);
}

TEST_F(AssignLayoutTest, BoxingToSharesThatCannotBeBlocked) {
  const TensorId y = Conv("y", 24, Sbp::S(0));
  const TensorId moved = Add("boxing", "moved", {y}, Sbp::S(1));  // 12 each.
  Add("scale", "scaled", {moved}, Sbp::S(1), {{"factor", 2.0}});
  const LaidOutGraph result = Assign(Devices(2));
  EXPECT_EQ(Input(result, "moved"), "y/nchw");
  EXPECT_EQ(Input(result, "scaled"), "moved");
  EXPECT_EQ(LayoutOf(result, "scaled"), Layout::kRowMajor);
}

}  // namespace
}  // namespace facet::placement
