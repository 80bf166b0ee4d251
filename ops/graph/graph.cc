#include "ops/graph/graph.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace facet::ops {

std::string TensorType::ToString() const {
  return absl::StrCat(DataTypeName(dtype), shape.ToString());
}

absl::string_view PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kData:
      return "data";
    case Phase::kForward:
      return "forward";
    case Phase::kBackward:
      return "backward";
    case Phase::kOptimizer:
      return "optimizer";
  }
  LOG(FATAL) << "unknown Phase " << static_cast<int>(phase);
  return "";
}

std::vector<std::vector<NodeId>> ComputeConsumers(const Graph& graph) {
  std::vector<std::vector<NodeId>> consumers(graph.tensors.size());
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (TensorId input : graph.nodes[n].inputs) {
      std::vector<NodeId>& list = consumers[input];
      const NodeId id = static_cast<NodeId>(n);
      if (list.empty() || list.back() != id) list.push_back(id);
    }
  }
  return consumers;
}

std::vector<int> ComputeEvery(const Graph& graph) {
  constexpr int kNobody = std::numeric_limits<int>::max();
  std::vector<int> every(graph.tensors.size(), kNobody);
  for (const Node& node : graph.nodes) {
    for (TensorId t : node.inputs) {
      every[t] = std::min(every[t], node.origin.every);
    }
  }
  for (size_t t = 0; t < every.size(); ++t) {
    const int producer = graph.nodes[graph.tensors[t].producer].origin.every;
    every[t] = every[t] == kNobody ? producer : std::max(producer, every[t]);
  }
  return every;
}

TensorId FindTensor(const Graph& graph, absl::string_view name) {
  for (size_t t = 0; t < graph.tensors.size(); ++t) {
    if (graph.tensors[t].name == name) return static_cast<TensorId>(t);
  }
  return kNone;
}

}  // namespace facet::ops
