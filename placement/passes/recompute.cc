#include "placement/passes/recompute.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"
#include "placement/passes/activations.h"

namespace facet::placement {
namespace {

using ops::kNone;
using ops::NodeId;
using ops::TensorId;

// Copies the graph node by node.
class Rewriter {
 public:
  Rewriter(const PlacedGraph& placed, const std::vector<TensorId>& tensors,
           ops::OpLookup lookup)
      : placed_(placed),
        graph_(placed.graph),
        activations_(placed.graph, lookup),
        goes_(graph_.tensors.size(), false),
        new_id_(graph_.tensors.size(), kNone),
        again_(graph_.tensors.size(), kNone),
        builder_(&result_.graph, lookup) {
    result_.graph.name = graph_.name;
    for (TensorId t : tensors) goes_[t] = true;
  }
  Rewriter(const Rewriter&) = delete;
  Rewriter& operator=(const Rewriter&) = delete;

  absl::StatusOr<PlacedGraph> Run() {
    for (const ops::Node& node : graph_.nodes) {
      std::vector<TensorId> inputs;
      if (!IsForward(node)) RETURN_IF_ERROR(ComputeAgain(node.inputs));
      for (TensorId t : node.inputs) {
        inputs.push_back(!IsForward(node) && goes_[t] ? again_[t] : new_id_[t]);
      }
      RETURN_IF_ERROR(
          Add(node, node.name, node.origin.phase, inputs, &new_id_));
    }
    CHECK_EQ(result_.sbp.size(), result_.graph.tensors.size());
    return std::move(result_);
  }

 private:
  absl::Status Add(const ops::Node& node, const std::string& name,
                   ops::Phase phase, const std::vector<TensorId>& inputs,
                   std::vector<TensorId>* ids) {
    ops::Origin origin = node.origin;
    origin.phase = phase;
    origin.again = name != node.name;
    builder_.set_origin(std::move(origin));
    ASSIGN_OR_RETURN(const std::vector<TensorId> outputs,
                     builder_.Add(node.op, name, inputs, node.attributes));
    for (size_t o = 0; o < outputs.size(); ++o) {
      (*ids)[node.outputs[o]] = outputs[o];
      if (name == node.name) {
        result_.graph.tensors[outputs[o]].name =
            placed_.graph.tensors[node.outputs[o]].name;
      }
      result_.sbp.push_back(placed_.sbp[node.outputs[o]]);
    }
    return absl::OkStatus();
  }

  // Those of `tensors` that go, and what they are computed from and is gone.
  absl::Status ComputeAgain(const std::vector<TensorId>& tensors) {
    std::vector<NodeId> missing;
    auto need = [&](TensorId t) {
      if (again_[t] != kNone) return;
      const NodeId producer = graph_.tensors[t].producer;
      if (std::find(missing.begin(), missing.end(), producer) ==
          missing.end()) {
        missing.push_back(producer);
      }
    };
    for (TensorId t : tensors) {
      if (goes_[t]) need(t);
    }
    for (size_t i = 0; i < missing.size(); ++i) {
      for (TensorId t : graph_.nodes[missing[i]].inputs) {
        if (IsGone(t)) need(t);
      }
    }
    // In the order of the forward pass.
    std::sort(missing.begin(), missing.end());
    for (NodeId n : missing) {
      const ops::Node& node = graph_.nodes[n];
      std::vector<TensorId> inputs;
      for (TensorId t : node.inputs) {
        inputs.push_back(IsGone(t) ? again_[t] : new_id_[t]);
      }
      RETURN_IF_ERROR(Add(node, absl::StrCat(node.name, kAgain),
                          ops::Phase::kBackward, inputs, &again_));
    }
    return absl::OkStatus();
  }

  bool IsGone(TensorId t) const { return goes_[t] || activations_.passing(t); }

  const PlacedGraph& placed_;
  const ops::Graph& graph_;
  const Activations activations_;
  std::vector<bool> goes_;        // By tensor of the graph.
  std::vector<TensorId> new_id_;  // By tensor of the graph.
  std::vector<TensorId> again_;   // The same, of the copies.
  PlacedGraph result_;
  ops::GraphBuilder builder_;
};

}  // namespace

absl::StatusOr<PlacedGraph> Recompute(const PlacedGraph& placed,
                                      const std::vector<TensorId>& tensors,
                                      ops::OpLookup lookup) {
  return Rewriter(placed, tensors, lookup).Run();
}

}  // namespace facet::placement
