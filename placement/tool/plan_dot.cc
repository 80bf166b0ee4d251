#include "placement/tool/plan_dot.h"

#include <set>
#include <string>
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

// In a label in the manner of HTML.
std::string Html(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (c == '&') {
      escaped += "&amp;";
    } else {
      escaped += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return escaped;
}

std::string Bold(const std::string& text) {
  return absl::StrCat("<b>", Html(text), "</b>");
}
std::string Small(const std::string& text) {
  return absl::StrCat("<font point-size=\"9\" color=\"#4a5563\">", Html(text),
                      "</font>");
}
std::string Label(const std::vector<std::string>& lines) {
  return absl::StrCat("label=<", absl::StrJoin(lines, "<br/>"), ">");
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
  std::vector<std::string> lines = {Bold(node.short_name)};
  if (task.op() != node.short_name) lines.push_back(Small(task.op()));
  std::string sbp;
  if (const LogicalTensor* output = OutputOf(plan, task); output != nullptr) {
    sbp = SbpText(*output);
    const auto& share = plan.registers(task.outputs(0)).shape();
    lines.push_back(Html(absl::StrCat(sbp, share.empty() ? "" : "  ",
                                      absl::StrJoin(share, "×"))));
  }
  std::set<int> parameters;
  for (int t : node.tasks) {
    for (int r : plan.tasks(t).inputs()) {
      const Register& reg = plan.registers(r);
      if (!reg.persistent() || reg.tensor() < 0 ||
          !parameters.insert(r).second) {
        continue;
      }
      const LogicalTensor& tensor = plan.tensors(reg.tensor());
      // Those of normalisations are small, and many.
      if (tensor.shape_size() < 2 || reg.size_bytes() < 4096) continue;
      const std::string name =
          tensor.name().substr(tensor.name().find_last_of('.') + 1);
      lines.push_back(Small(
          absl::StrCat(name, " ", SbpText(tensor), ", ",
                       BytesText(static_cast<double>(reg.size_bytes())))));
    }
  }
  return absl::StrCat(Label(lines), ", fillcolor=\"", SbpColor(sbp), "\"");
}

std::string CollectiveNode(const Plan& plan, const GraphNode& node) {
  const Task& task = plan.tasks(node.task);
  const Collective& c = task.collective();
  return absl::StrCat(
      Label({Bold(KindText(c)), Html(c.transition()),
             Small(absl::StrCat(BytesText(static_cast<double>(c.bytes())), ", ",
                                task.num_ranks(), " devices"))}),
      ", shape=hexagon, margin=\"0,0\", fillcolor=\"",
      SbpColor(TargetSbp(c.transition())), "\", color=\"#b3372f\", penwidth=2");
}

// What a block reads from others than the one before it: "and images".
std::vector<std::string> FarSources(const PlanGraph& graph, int block) {
  constexpr size_t kMost = 2;
  std::set<int> sources;
  for (const GraphEdge& edge : graph.edges) {
    const int from = graph.nodes[edge.from].block;
    if (graph.nodes[edge.to].block == block && from != block &&
        from + 1 != block) {
      sources.insert(edge.from);
    }
  }
  std::vector<std::string> names;
  for (int n : sources) {
    if (names.size() == kMost) {
      names.push_back("...");
      break;
    }
    names.push_back(graph.nodes[n].name);
  }
  return names;
}

// A block's heading, from which arrows lead to what reads from outside.
std::string Heading(const PlanGraph& graph, int b) {
  const GraphBlock& block = graph.blocks[b];
  std::vector<std::string> lines = {absl::StrCat(
      "<font point-size=\"14\">", Bold(block.name),
      block.times > 1 ? absl::StrCat("  ×", block.times) : "", "</font>")};
  const std::vector<std::string> far = FarSources(graph, b);
  if (!far.empty()) {
    lines.push_back(
        Small(absl::StrCat(b > 0 ? "reads " : "", absl::StrJoin(far, ", "))));
  }
  std::string dot = absl::StrCat("  h", b, " [shape=plaintext, style=\"\", ",
                                 Label(lines), "];\n");
  std::set<int> readers;
  int first = -1;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].block == b && first < 0) first = static_cast<int>(n);
  }
  for (const GraphEdge& edge : graph.edges) {
    if (graph.nodes[edge.to].block == b && graph.nodes[edge.from].block != b) {
      readers.insert(edge.to);
    }
  }
  for (int n : readers) absl::StrAppend(&dot, "  h", b, " -> n", n, ";\n");
  if (readers.empty()) {
    absl::StrAppend(&dot, "  h", b, " -> n", first, " [style=invis];\n");
  }
  return dot;
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

std::string PlanDot(const Plan& plan, const PlanGraph& graph,
                    const std::string& title) {
  const int num_blocks = static_cast<int>(graph.blocks.size());
  std::string dot = absl::StrCat(
      "digraph plan {\n"
      "  rankdir=TB; nodesep=0.15; ranksep=0.24; bgcolor=\"white\"; "
      "fontname=\"Helvetica\";\n"
      "  node [shape=box, style=\"filled,rounded\", fontname=\"Helvetica\", "
      "fontsize=11, margin=\"0.11,0.06\", height=0.3, color=\"#7d8998\"];\n"
      "  edge [color=\"#7d8998\", arrowsize=0.6];\n"
      "  labelloc=t; fontsize=16; label=\"",
      Escaped(title),
      "\";\n"
      // The blocks side by side, in order.
      "  start [style=invis, label=\"\", width=0, height=0, ordering=out];\n");
  for (int b = 0; b < num_blocks; ++b) {
    absl::StrAppend(&dot, "  subgraph cluster_", b,
                    " { label=\"\"; style=\"rounded,filled\"; "
                    "fillcolor=\"#fafbfc\"; color=\"#d5dbe3\"; margin=10;\n",
                    Heading(graph, b));
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      const GraphNode& node = graph.nodes[n];
      if (node.block != b) continue;
      absl::StrAppend(&dot, "  n", n, " [id=\"op", n, "\", tooltip=\"",
                      Escaped(node.name), "\", ",
                      plan.tasks(node.task).has_collective()
                          ? CollectiveNode(plan, node)
                          : OpNode(plan, node),
                      "];\n");
    }
    absl::StrAppend(&dot, "  }\n");
  }
  std::set<int> follows;  // Blocks that read from the one before.
  for (const GraphEdge& edge : graph.edges) {
    const int from = graph.nodes[edge.from].block;
    const int to = graph.nodes[edge.to].block;
    if (from + 1 == to) follows.insert(to);
    if (from == to) {
      absl::StrAppend(&dot, "  n", edge.from, " -> n", edge.to, ";\n");
    }
  }
  for (int b = 0; b < num_blocks; ++b) {
    absl::StrAppend(&dot, "  start -> h", b, " [style=invis];\n");
    if (follows.count(b) > 0) {
      absl::StrAppend(&dot, "  h", b - 1, " -> h", b,
                      " [constraint=false, penwidth=1.5];\n");
    }
  }
  return dot + "}\n";
}

}  // namespace facet::placement
