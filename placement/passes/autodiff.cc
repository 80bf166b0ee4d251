#include "placement/passes/autodiff.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/gradient.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"

namespace facet::placement {
namespace {

using ops::kNone;
using ops::NodeId;
using ops::TensorId;

bool IsTrainable(const ops::Node& node, const ops::OpDef& def) {
  return def.is_variable && node.attributes.Has("trainable") &&
         node.attributes.Bool("trainable");
}

// By tensor: a trainable variable, or computed from one by ops that have a
// gradient. Nobody wants the gradient of any other.
std::vector<bool> LeadsToVariable(const ops::Graph& graph,
                                  ops::OpLookup lookup) {
  std::vector<bool> leads(graph.tensors.size(), false);
  for (const ops::Node& node : graph.nodes) {
    const ops::OpDef& def = *lookup(node.op);
    bool any = IsTrainable(node, def);
    if (def.gradient != nullptr) {
      for (TensorId t : node.inputs) any = any || leads[t];
    }
    for (TensorId t : node.outputs) {
      leads[t] = any && ops::IsFloating(graph.tensors[t].type.dtype);
    }
  }
  return leads;
}

class BackwardPass {
 public:
  BackwardPass(ops::Graph graph, TensorId loss, ops::OpLookup lookup)
      : graph_(std::move(graph)),
        loss_(loss),
        builder_(&graph_, lookup),
        num_forward_(static_cast<NodeId>(graph_.nodes.size())),
        wanted_(LeadsToVariable(graph_, lookup)),
        contributions_(graph_.tensors.size()),
        gradients_(graph_.tensors.size(), kNone) {}
  BackwardPass(const BackwardPass&) = delete;
  BackwardPass& operator=(const BackwardPass&) = delete;

  absl::StatusOr<DifferentiatedGraph> Run(double loss_scale_initial) {
    RETURN_IF_ERROR(CheckLoss());
    ASSIGN_OR_RETURN(const TensorId seed, AddSeed(loss_scale_initial));
    contributions_[loss_].push_back(seed);
    for (NodeId n = num_forward_; n-- > 0;) RETURN_IF_ERROR(Differentiate(n));

    DifferentiatedGraph result;
    for (NodeId n = 0; n < num_forward_; ++n) {
      if (!IsTrainable(graph_.nodes[n], builder_.def(n))) continue;
      const TensorId variable = graph_.nodes[n].outputs[0];
      if (gradients_[variable] == kNone) continue;
      result.gradients.emplace_back(variable, gradients_[variable]);
    }
    result.rows = std::move(rows_);
    if (loss_scale_initial > 0) result.loss_scale = seed;
    result.graph = std::move(graph_);
    return result;
  }

 private:
  absl::Status CheckLoss() const {
    const ops::Tensor& loss = graph_.tensors[loss_];
    if (loss.type != ops::TensorType{ops::DataType::kFloat32, {}}) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the loss ", loss.name, " is ", loss.type.ToString(),
          "; expected a scalar, float32[]: reduce it to one number"));
    }
    if (!wanted_[loss_]) {
      return absl::InvalidArgumentError(
          absl::StrCat("the loss ", loss.name,
                       " depends on no trainable variable by ops that have a "
                       "gradient: there is nothing to train"));
    }
    return absl::OkStatus();
  }

  // New nodes belong to where the tensor comes from.
  void EnterBackward(TensorId tensor) {
    ops::Origin origin = graph_.nodes[graph_.tensors[tensor].producer].origin;
    origin.phase = ops::Phase::kBackward;
    builder_.set_origin(std::move(origin));
  }

  // The gradient of the loss by itself, times the loss scale.
  absl::StatusOr<TensorId> AddSeed(double loss_scale_initial) {
    EnterBackward(loss_);
    const std::vector<int64_t> scalar;
    if (loss_scale_initial > 0) {
      ASSIGN_OR_RETURN(const std::vector<TensorId> scale,
                       builder_.Add("variable", "loss_scale", {},
                                    {{"shape", scalar},
                                     {"value", loss_scale_initial},
                                     {"trainable", false},
                                     {"clip", false}}));
      return scale[0];
    }
    ASSIGN_OR_RETURN(
        const std::vector<TensorId> one,
        builder_.Add("fill",
                     absl::StrCat(graph_.tensors[loss_].name, "/gradient"), {},
                     {{"shape", scalar}, {"value", 1.0}}));
    return one[0];
  }

  // The gradient by a tensor all of whose readers have been dealt with; kNone
  // if there is none.
  absl::StatusOr<TensorId> TotalGradient(TensorId tensor) {
    std::vector<TensorId> parts = contributions_[tensor];
    if (parts.empty()) return kNone;
    if (parts.size() == 1) return parts[0];
    // The last reader came first.
    std::reverse(parts.begin(), parts.end());
    EnterBackward(tensor);
    ASSIGN_OR_RETURN(
        const std::vector<TensorId> total,
        builder_.Add(parts.size() == 2 ? "add" : "add_n",
                     absl::StrCat(graph_.tensors[tensor].name, "/gradient"),
                     parts));
    return total[0];
  }

  absl::Status Differentiate(NodeId n) {
    const ops::Node node = graph_.nodes[n];  // A copy: the graph grows.
    const ops::OpDef& def = builder_.def(n);
    std::vector<TensorId> output_gradients;
    bool arrives = false;
    for (TensorId t : node.outputs) {
      ASSIGN_OR_RETURN(gradients_[t], TotalGradient(t));
      output_gradients.push_back(gradients_[t]);
      arrives = arrives || gradients_[t] != kNone;
    }
    std::vector<bool> wanted;
    for (TensorId t : node.inputs) wanted.push_back(wanted_[t]);
    if (!arrives || def.gradient == nullptr ||
        std::count(wanted.begin(), wanted.end(), true) == 0) {
      return absl::OkStatus();
    }
    ops::GradientContext context(&builder_, n, std::move(output_gradients));
    context.set_wanted(wanted);
    if (absl::Status status = def.gradient(&context); !status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("gradient of ", node.name, " (", node.op,
                                       "): ", status.message()));
    }
    for (size_t i = node.inputs.size(); i-- > 0;) {
      const TensorId gradient = context.input_gradient(static_cast<int>(i));
      if (gradient == kNone || !wanted[i]) continue;
      if (const auto* rows = context.input_row_gradient(static_cast<int>(i))) {
        RETURN_IF_ERROR(AddRows(node.inputs[i], n, *rows));
      }
      contributions_[node.inputs[i]].push_back(gradient);
    }
    return absl::OkStatus();
  }

  // Some rows of a variable get a gradient from node `reader`.
  absl::Status AddRows(TensorId variable, NodeId reader,
                       const ops::GradientContext::RowGradient& gradient) {
    const ops::Tensor& tensor = graph_.tensors[variable];
    if (!builder_.def(tensor.producer).is_variable) {
      return absl::InvalidArgumentError(absl::StrCat(
          graph_.nodes[reader].name, " takes rows of ", tensor.name,
          ", which is not a variable: gradients of single rows are for those "
          "only"));
    }
    for (NodeId n = 0; n < num_forward_; ++n) {
      const std::vector<TensorId>& inputs = graph_.nodes[n].inputs;
      if (n == reader ||
          std::count(inputs.begin(), inputs.end(), variable) == 0) {
        continue;
      }
      return absl::InvalidArgumentError(
          absl::StrCat(graph_.nodes[reader].name, " takes rows of ",
                       tensor.name, ", and so it must be its only reader, but ",
                       graph_.nodes[n].name, " reads it, too"));
    }
    rows_[variable] = {gradient.rows, reader, gradient.lazy_op};
    return absl::OkStatus();
  }

  ops::Graph graph_;
  const TensorId loss_;
  ops::GraphBuilder builder_;
  const NodeId num_forward_;
  // By forward tensor.
  const std::vector<bool> wanted_;
  // What its readers contribute to its gradient: of the last reader's last
  // input first.
  std::vector<std::vector<TensorId>> contributions_;
  std::map<TensorId, VariableRows> rows_;  // By variable.
  std::vector<TensorId> gradients_;  // The sum, once its producer's turn came.
};

}  // namespace

absl::StatusOr<DifferentiatedGraph> Autodiff(ops::Graph graph, TensorId loss,
                                             double loss_scale_initial,
                                             ops::OpLookup lookup) {
  CHECK(loss >= 0 && loss < static_cast<int>(graph.tensors.size()))
      << "tensor " << loss << " of " << graph.tensors.size();
  return BackwardPass(std::move(graph), loss, lookup).Run(loss_scale_initial);
}

}  // namespace facet::placement
