#include "placement/tool/plan_dot.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "placement/tool/plan_facts.h"
#include "placement/tool/text_table.h"

namespace facet::placement {
namespace {

// In a double-quoted string of DOT.
std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return escaped;
}

std::string ShapeText(const Register& reg) {
  std::string text =
      absl::StrCat("[", absl::StrJoin(reg.global_shape(), ","), "]");
  if (absl::StrJoin(reg.shape(), ",") !=
      absl::StrJoin(reg.global_shape(), ",")) {
    absl::StrAppend(&text, " -> [", absl::StrJoin(reg.shape(), ","), "]");
  }
  return text;
}

const LogicalTensor* OutputOf(const Plan& plan, const Task& task) {
  if (task.outputs().empty()) return nullptr;
  const int tensor = plan.registers(task.outputs(0)).tensor();
  return tensor >= 0 ? &plan.tensors(tensor) : nullptr;
}

// What the result of a collective is called: "P(sum) -> B" ends in it.
std::string TargetSbp(const std::string& transition) {
  const size_t arrow = transition.find("-> ");
  return arrow == std::string::npos ? "" : transition.substr(arrow + 3);
}

std::string OpNode(const Plan& plan, const GraphNode& node) {
  const Task& task = plan.tasks(node.task);
  std::vector<std::string> lines = {node.name, task.op()};
  std::string sbp;
  if (const LogicalTensor* output = OutputOf(plan, task); output != nullptr) {
    sbp = SbpText(*output);
    lines.push_back(
        absl::StrCat(sbp, " ", ShapeText(plan.registers(task.outputs(0)))));
  }
  for (int r : task.inputs()) {
    const Register& reg = plan.registers(r);
    if (!reg.persistent() || reg.tensor() < 0) continue;
    const LogicalTensor& tensor = plan.tensors(reg.tensor());
    const std::string name =
        tensor.name().substr(tensor.name().find_last_of('.') + 1);
    lines.push_back(
        absl::StrCat(name, " ", SbpText(tensor), " ",
                     BytesText(static_cast<double>(reg.size_bytes()))));
  }
  for (std::string& line : lines) line = Escaped(line);
  return absl::StrCat("label=\"", absl::StrJoin(lines, "\\n"),
                      "\", fillcolor=\"", SbpColor(sbp), "\"");
}

std::string CollectiveNode(const Plan& plan, const GraphNode& node) {
  const Task& task = plan.tasks(node.task);
  const Collective& c = task.collective();
  return absl::StrCat(
      "label=\"", KindText(c), "\\n", Escaped(c.transition()), ", ",
      BytesText(static_cast<double>(c.bytes())), "\\n", task.num_ranks(),
      " devices\", shape=hexagon, fillcolor=\"",
      SbpColor(TargetSbp(c.transition())), "\", color=\"#b03030\", penwidth=2");
}

}  // namespace

std::string SbpColor(const std::string& sbp) {
  if (sbp == "B") return "#dbe9f6";
  if (sbp == "S(0)") return "#fde3c8";
  if (sbp == "S(1)") return "#fdf3c8";
  if (absl::StartsWith(sbp, "S(")) return "#e3f2d3";
  if (absl::StartsWith(sbp, "P(")) return "#f3d9ea";
  return "#eeeeee";
}

std::string PlanDot(const Plan& plan, const PlanGraph& graph) {
  std::string dot = absl::StrCat(
      "digraph plan {\n"
      "  rankdir=TB; nodesep=0.25; ranksep=0.3; bgcolor=\"white\";\n"
      "  node [shape=box, style=\"filled,rounded\", fontname=\"Helvetica\", "
      "fontsize=10, margin=\"0.1,0.05\"];\n"
      "  edge [fontname=\"Helvetica\", fontsize=8, color=\"#777777\", "
      "arrowsize=0.6];\n"
      "  labelloc=t; fontname=\"Helvetica\"; label=\"",
      Escaped(plan.name()), " on ", plan.devices_size(), " x ",
      Escaped(plan.devices(0).kind()), "\";\n");
  for (size_t b = 0; b < graph.blocks.size(); ++b) {
    const GraphBlock& block = graph.blocks[b];
    if (block.times > 1) {
      absl::StrAppend(&dot, "  subgraph cluster_", b, " { label=\"",
                      Escaped(block.name), "   x", block.times,
                      "\"; labeljust=l; fontsize=12; color=\"#999999\"; "
                      "style=dashed;\n");
    }
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      const GraphNode& node = graph.nodes[n];
      if (node.block != static_cast<int>(b)) continue;
      const Task& task = plan.tasks(node.task);
      absl::StrAppend(&dot, "  n", n, " [id=\"op", n, "\", tooltip=\"",
                      Escaped(node.name), "\", ",
                      task.has_collective() ? CollectiveNode(plan, node)
                                            : OpNode(plan, node),
                      "];\n");
    }
    if (block.times > 1) absl::StrAppend(&dot, "  }\n");
  }
  for (const GraphEdge& edge : graph.edges) {
    absl::StrAppend(&dot, "  n", edge.from, " -> n", edge.to, ";\n");
  }
  return dot + "}\n";
}

}  // namespace facet::placement
