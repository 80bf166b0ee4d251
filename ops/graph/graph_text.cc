#include "ops/graph/graph_text.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace facet::ops {
namespace {

std::string TensorNames(const Graph& graph,
                        const std::vector<TensorId>& tensors) {
  return absl::StrJoin(tensors, ", ", [&](std::string* out, TensorId t) {
    absl::StrAppend(out, graph.tensors[t].name);
  });
}

std::string NodeText(const Graph& graph, const Node& node) {
  // A node without outputs goes by its own name.
  std::string text = absl::StrCat(
      node.outputs.empty() ? node.name : TensorNames(graph, node.outputs),
      " = ", node.op, "(", TensorNames(graph, node.inputs), ")");
  if (!node.attributes.values().empty()) {
    absl::StrAppend(&text, " {",
                    absl::StrJoin(node.attributes.values(), ", ",
                                  [](std::string* out, const auto& attribute) {
                                    absl::StrAppend(
                                        out, attribute.first, ": ",
                                        AttributeToString(attribute.second));
                                  }),
                    "}");
  }
  if (!node.outputs.empty()) {
    absl::StrAppend(
        &text, " : ",
        absl::StrJoin(node.outputs, ", ", [&](std::string* out, TensorId t) {
          absl::StrAppend(out, graph.tensors[t].type.ToString());
        }));
  }
  const Origin& origin = node.origin;
  absl::StrAppend(
      &text, "  # ", origin.layer, " ", origin.part.empty() ? "-" : origin.part,
      " ", PhaseName(origin.phase), origin.keep_float32 ? " float32" : "",
      origin.every > 1 ? absl::StrCat(" every ", origin.every) : "", "\n");
  return text;
}

}  // namespace

std::string GraphText(const Graph& graph) {
  std::string text = absl::StrCat(
      "graph ", graph.name.empty() ? "-" : graph.name, ": ", graph.nodes.size(),
      " nodes, ", graph.tensors.size(), " tensors\n");
  for (const Node& node : graph.nodes) {
    absl::StrAppend(&text, NodeText(graph, node));
  }
  return text;
}

}  // namespace facet::ops
