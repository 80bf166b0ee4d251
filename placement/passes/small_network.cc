#include "placement/passes/small_network.h"

#include <cmath>
#include <utility>

#include "glog/logging.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"

namespace facet::placement {
namespace {

using ops::Attributes;
using ops::TensorId;

class Maker {
 public:
  Maker() : builder_(&network_.graph, ops::FindOp) {}

  SmallNetwork Make() {
    network_.graph.name = "small";
    Enter("data", "data", false);
    network_.images = Add("fill", "images", {}, {{"shape", Dims{4, 3, 6, 6}}});
    network_.labels =
        Add("fill", "labels", {},
            {{"shape", Dims{4}}, {"dtype", std::string("int32")}});

    Enter("conv1", "backbone", false);
    TensorId x = Conv("conv1", network_.images, 3);
    Enter("bn1", "backbone", false);
    x = BatchNorm("bn1", x);
    Enter("prelu", "backbone", false);
    const TensorId slope = Variable("prelu.weight", {16}, 0.25);
    const TensorId shortcut = Add("prelu", "prelu", {x, slope});
    Enter("conv2", "backbone", false);
    x = Conv("conv2", shortcut, 16);
    x = Add("add", "block", {x, shortcut});
    x = Add("flatten", "flatten", {x});
    Enter("fc", "backbone", true);
    const TensorId weight = Normal("fc.weight", {5, 16 * 36}, 0.05, 3, true);
    const TensorId bias = Normal("fc.bias", {5}, 0.1, 4, true);
    x = Add("matmul", "fc/matmul", {x, weight}, {{"transpose_b", true}});
    x = Add("bias_add", "fc", {x, bias});

    Enter("head", "head", true);
    const TensorId centres = Normal("head.weight", {7, 5}, 0.5, 5, false);
    const TensorId features = Add("l2_normalize", "head.features", {x});
    const TensorId normal = Add("l2_normalize", "head.centres", {centres});
    const TensorId cosines = Add("matmul", "head.cosines", {features, normal},
                                 {{"transpose_b", true}});
    const TensorId logits =
        Add("combined_margin", "head.logits", {cosines, network_.labels},
            {{"m2", 0.2}, {"scale", 4.0}, {"gradient", std::string("exact")}});
    const TensorId max = Add("row_max", "head.row_max", {logits});
    const TensorId sum = Add("row_sum_exp", "head.row_sum_exp", {logits, max});
    network_.loss = Add("softmax_cross_entropy", "loss",
                        {logits, max, sum, network_.labels});
    Add("fetch", "fetch_loss", {network_.loss},
        {{"name", std::string("loss")}});
    CHECK(builder_.status().ok()) << builder_.status();
    return std::move(network_);
  }

 private:
  using Dims = std::vector<int64_t>;

  void Enter(const std::string& layer, const std::string& part, bool keep) {
    builder_.set_origin({layer, part, ops::Phase::kForward, keep});
  }
  TensorId Add(const std::string& op, const std::string& name,
               const std::vector<TensorId>& inputs,
               Attributes attributes = {}) {
    return builder_.Add1(op, name, inputs, std::move(attributes));
  }
  TensorId Variable(const std::string& name, Dims shape, double value,
                    bool trainable = true) {
    return Add("variable", name, {},
               {{"shape", std::move(shape)},
                {"value", value},
                {"trainable", trainable}});
  }
  TensorId Normal(const std::string& name, Dims shape, double stddev,
                  int64_t key, bool clip) {
    return Add("variable", name, {},
               {{"shape", std::move(shape)},
                {"init", std::string("normal")},
                {"stddev", stddev},
                {"key", key},
                {"clip", clip}});
  }
  TensorId Conv(const std::string& name, TensorId x, int64_t channels) {
    const TensorId weight =
        Normal(name + ".weight", {16, channels, 3, 3}, 0.1, channels, true);
    return Add("conv2d", name, {x, weight}, {{"padding", int64_t{1}}});
  }
  TensorId BatchNorm(const std::string& name, TensorId x) {
    const TensorId scale = Variable(name + ".weight", {16}, 1);
    const TensorId bias = Variable(name + ".bias", {16}, 0);
    const TensorId mean = Variable(name + ".running_mean", {1, 16}, 0, false);
    const TensorId var = Variable(name + ".running_var", {1, 16}, 1, false);
    const TensorId sum =
        Add("batch_norm_statistics", name + "/statistics", {x});
    const TensorId square_sum = sum + 1;
    Add("batch_norm_update", name + "/update", {mean, var, sum, square_sum},
        {{"rows", int64_t{4}}, {"spatial", int64_t{36}}});
    return Add("batch_norm", name, {x, sum, square_sum, scale, bias});
  }

  SmallNetwork network_;
  ops::GraphBuilder builder_;
};

ops::Interpreter MakeInterpreter(const ops::Graph* graph) {
  ops::RunOptions options;
  options.seed = 7;
  absl::StatusOr<ops::Interpreter> interpreter =
      ops::Interpreter::Create(graph, ops::FindOp, &ops::CpuKernels(), options);
  CHECK(interpreter.ok()) << interpreter.status();
  return *std::move(interpreter);
}

}  // namespace

SmallNetwork MakeSmallNetwork() { return Maker().Make(); }

SmallRun::SmallRun(const ops::Graph& graph)
    : graph_(graph), interpreter_(MakeInterpreter(&graph_)) {
  std::vector<double> images(4 * 3 * 6 * 6);
  for (size_t i = 0; i < images.size(); ++i) {
    images[i] = std::sin(1.7 * static_cast<double>(i * i % 101));
  }
  Set("images", images);
  Set("labels", {2, 0, 6, 2});
}

void SmallRun::Step() {
  const absl::Status status = interpreter_.Step();
  CHECK(status.ok()) << status;
}

std::vector<double> SmallRun::Get(const std::string& tensor) const {
  const TensorId id = ops::FindTensor(graph_, tensor);
  CHECK_NE(id, ops::kNone) << tensor;
  return interpreter_.value(id).ToDoubles();
}

void SmallRun::Set(const std::string& tensor,
                   const std::vector<double>& values) {
  const TensorId id = ops::FindTensor(graph_, tensor);
  CHECK_NE(id, ops::kNone) << tensor;
  ops::HostValue value = ops::HostValue::Whole(graph_.tensors[id].type);
  value.FromDoubles(values);
  interpreter_.Set(id, std::move(value));
}

ops::TensorId AddLoss(const std::string& name, ops::TensorId logits,
                      ops::GraphBuilder* builder) {
  const ops::TensorId labels = builder->Add1(
      "fill", name + "/labels", {},
      {{"shape", std::vector<int64_t>{builder->type(logits).shape[0]}},
       {"dtype", std::string("int32")}});
  const ops::TensorId max = builder->Add1("row_max", name + "/max", {logits});
  const ops::TensorId sum =
      builder->Add1("row_sum_exp", name + "/sum", {logits, max});
  return builder->Add1("softmax_cross_entropy", name,
                       {logits, max, sum, labels});
}

int CountOp(const ops::Graph& graph, const std::string& op) {
  int count = 0;
  for (const ops::Node& node : graph.nodes) count += node.op == op ? 1 : 0;
  return count;
}

const ops::Node& NodeOf(const ops::Graph& graph, const std::string& name) {
  for (const ops::Node& node : graph.nodes) {
    if (node.name == name) return node;
    for (TensorId t : node.outputs) {
      if (graph.tensors[t].name == name) return node;
    }
  }
  LOG(FATAL) << "no node " << name;
  return graph.nodes[0];
}

}  // namespace facet::placement
