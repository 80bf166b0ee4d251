#include "ops/fusion.h"

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace facet::ops {

FusionContext::FusionContext(GraphBuilder* builder)
    : builder_(builder), dropped_(builder->graph().nodes.size(), false) {}

std::vector<NodeId> FusionContext::Consumers(TensorId tensor) const {
  std::vector<NodeId> consumers;
  const std::vector<Node>& nodes = graph().nodes;
  for (size_t n = 0; n < nodes.size(); ++n) {
    if (dropped(static_cast<NodeId>(n))) continue;
    for (TensorId input : nodes[n].inputs) {
      if (input != tensor) continue;
      consumers.push_back(static_cast<NodeId>(n));
      break;
    }
  }
  return consumers;
}

bool FusionContext::dropped(NodeId node) const {
  return node < static_cast<NodeId>(dropped_.size()) && dropped_[node];
}

absl::StatusOr<std::vector<TensorId>> FusionContext::Add(
    absl::string_view op, absl::Span<const TensorId> inputs,
    Attributes attributes, NodeId like) {
  const Node& model = graph().nodes[like];
  builder_->set_origin(model.origin);
  return builder_->Add(op, absl::StrCat(model.name, "/", op), inputs,
                       std::move(attributes));
}

void FusionContext::Redirect(TensorId from, TensorId to) {
  CHECK(builder_->type(from) == builder_->type(to))
      << builder_->type(from).ToString() << " to "
      << builder_->type(to).ToString();
  for (Node& node : builder_->mutable_graph()->nodes) {
    for (TensorId& input : node.inputs) {
      if (input == from) input = to;
    }
  }
}

void FusionContext::Drop(NodeId node) {
  dropped_.resize(graph().nodes.size(), false);
  dropped_[node] = true;
}

}  // namespace facet::ops
