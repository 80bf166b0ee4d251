#include "placement/passes/prune.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"

namespace facet::placement {
namespace {

using ops::kNone;
using ops::NodeId;
using ops::TensorId;

// Follows the inputs of what is needed. A node's place in the new order is
// directly before the first node of the old order that needs it, or its old
// one.
class Orderer {
 public:
  Orderer(const ops::Graph& graph, const std::vector<bool>& dropped)
      : graph_(graph), dropped_(dropped), state_(graph.nodes.size()) {}

  // Appends the node, and before it what it needs, unless it is there already.
  // A stack of its own: gradients make chains of thousands of nodes.
  absl::Status Append(NodeId root) {
    if (state_[root] == State::kDone) return absl::OkStatus();
    std::vector<std::pair<NodeId, size_t>> path;  // Node, next input.
    RETURN_IF_ERROR(Enter(root, nullptr, &path));
    while (!path.empty()) {
      const NodeId n = path.back().first;
      const ops::Node& node = graph_.nodes[n];
      const size_t next = path.back().second++;
      if (next == node.inputs.size()) {
        state_[n] = State::kDone;
        order_.push_back(n);
        path.pop_back();
        continue;
      }
      const NodeId producer = graph_.tensors[node.inputs[next]].producer;
      if (state_[producer] == State::kDone) continue;
      RETURN_IF_ERROR(Enter(producer, &node, &path));
    }
    return absl::OkStatus();
  }

  const std::vector<NodeId>& order() const { return order_; }
  bool dropped(NodeId n) const {
    return n < static_cast<NodeId>(dropped_.size()) && dropped_[n];
  }

 private:
  enum class State : char { kNew, kOnPath, kDone };

  absl::Status Enter(NodeId n, const ops::Node* reader,
                     std::vector<std::pair<NodeId, size_t>>* path) {
    const std::string who = reader == nullptr ? "the caller" : reader->name;
    if (dropped(n)) {
      return absl::InternalError(absl::StrCat(
          who, " needs ", graph_.nodes[n].name, ", which was dropped"));
    }
    if (state_[n] == State::kOnPath) {
      return absl::InternalError(
          absl::StrCat(who, " reads from ", graph_.nodes[n].name,
                       ", which needs it itself: a cycle"));
    }
    state_[n] = State::kOnPath;
    path->emplace_back(n, 0);
    return absl::OkStatus();
  }

  const ops::Graph& graph_;
  const std::vector<bool>& dropped_;
  std::vector<State> state_;
  std::vector<NodeId> order_;
};

}  // namespace

absl::StatusOr<ops::Graph> Prune(const ops::Graph& graph,
                                 const std::vector<bool>& dropped,
                                 const std::vector<TensorId>& keep,
                                 ops::OpLookup lookup) {
  const size_t count = graph.nodes.size();
  // What is needed, first in the order of the graph, so that the sort finds
  // all nodes, not only those with side effects, in their old order.
  Orderer needs(graph, dropped);
  for (TensorId t : keep) {
    RETURN_IF_ERROR(needs.Append(graph.tensors[t].producer));
  }
  for (size_t n = 0; n < count; ++n) {
    const auto id = static_cast<NodeId>(n);
    if (needs.dropped(id) || !lookup(graph.nodes[n].op)->has_side_effect) {
      continue;
    }
    RETURN_IF_ERROR(needs.Append(id));
  }
  std::vector<bool> needed(count, false);
  for (NodeId n : needs.order()) needed[n] = true;
  Orderer sorted(graph, dropped);
  for (size_t n = 0; n < count; ++n) {
    if (needed[n]) RETURN_IF_ERROR(sorted.Append(static_cast<NodeId>(n)));
  }

  ops::Graph result;
  result.name = graph.name;
  std::vector<TensorId> new_id(graph.tensors.size(), kNone);
  for (NodeId n : sorted.order()) {
    ops::Node node = graph.nodes[n];
    for (TensorId& t : node.inputs) t = new_id[t];
    for (TensorId& t : node.outputs) {
      ops::Tensor tensor = graph.tensors[t];
      tensor.producer = static_cast<NodeId>(result.nodes.size());
      new_id[t] = static_cast<TensorId>(result.tensors.size());
      t = new_id[t];
      result.tensors.push_back(std::move(tensor));
    }
    result.nodes.push_back(std::move(node));
  }
  return result;
}

}  // namespace facet::placement
