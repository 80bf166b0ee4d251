#include "ops/fusion.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/status_macros.h"

namespace facet::ops {

FusionContext::FusionContext(GraphBuilder* builder) : builder_(builder) {
  for (size_t n = 0; n < graph().nodes.size(); ++n) {
    AddReader(static_cast<NodeId>(n));
  }
}

void FusionContext::AddReader(NodeId node) {
  dropped_.resize(graph().nodes.size(), false);
  readers_.resize(graph().tensors.size());
  for (TensorId input : graph().nodes[node].inputs) {
    std::vector<NodeId>& readers = readers_[input];
    if (readers.empty() || readers.back() != node) readers.push_back(node);
  }
}

std::vector<NodeId> FusionContext::Consumers(TensorId tensor) const {
  std::vector<NodeId> consumers;
  for (NodeId reader : readers_[tensor]) {
    if (!dropped_[reader]) consumers.push_back(reader);
  }
  return consumers;
}

bool FusionContext::dropped(NodeId node) const { return dropped_[node]; }

absl::StatusOr<std::vector<TensorId>> FusionContext::Add(
    absl::string_view op, absl::Span<const TensorId> inputs,
    Attributes attributes, NodeId like) {
  const Node& model = graph().nodes[like];
  builder_->set_origin(model.origin);
  ASSIGN_OR_RETURN(std::vector<TensorId> outputs,
                   builder_->Add(op, absl::StrCat(model.name, "/", op), inputs,
                                 std::move(attributes)));
  AddReader(static_cast<NodeId>(graph().nodes.size()) - 1);
  return outputs;
}

void FusionContext::Redirect(TensorId from, TensorId to) {
  CHECK(builder_->type(from) == builder_->type(to))
      << builder_->type(from).ToString() << " to "
      << builder_->type(to).ToString();
  Graph& graph = *builder_->mutable_graph();
  for (NodeId reader : readers_[from]) {
    for (TensorId& input : graph.nodes[reader].inputs) {
      if (input == from) input = to;
    }
  }
  std::vector<NodeId>& readers = readers_[to];
  readers.insert(readers.end(), readers_[from].begin(), readers_[from].end());
  std::sort(readers.begin(), readers.end());
  readers.erase(std::unique(readers.begin(), readers.end()), readers.end());
  readers_[from].clear();
  std::swap(graph.tensors[from].name, graph.tensors[to].name);
}

void FusionContext::Drop(NodeId node) { dropped_[node] = true; }

}  // namespace facet::ops
