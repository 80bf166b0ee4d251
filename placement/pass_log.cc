#include "placement/pass_log.h"

#include "absl/strings/str_format.h"
#include "glog/logging.h"
#include "ops/graph/graph_text.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"

namespace facet::placement {

absl::Status PassLog::Graph(absl::string_view pass, const ops::Graph& graph) {
  RETURN_IF_ERROR(Verify(pass, graph));
  return Done(pass, [&] { return ops::GraphText(graph); });
}

absl::Status PassLog::Verify(absl::string_view pass, const ops::Graph& graph) {
  const absl::Status status = ops::VerifyGraph(graph, ops::FindOp);
  if (status.ok()) return status;
  return absl::InternalError(
      absl::StrCat("after pass ", pass, ": ", status.message()));
}

void PassLog::Time(absl::string_view pass) {
  VLOG(1) << "pass " << std::string(pass) << ": "
          << absl::FormatDuration(absl::Now() - start_);
  start_ = absl::Now();
}

std::string AssignmentText(const ops::Graph& graph,
                           const SbpAssignment& assignment) {
  std::string text =
      absl::StrFormat("step %.6g s, at least %.6g s under the search's rules\n",
                      assignment.seconds, assignment.lower_bound);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const ops::Node& node = graph.nodes[n];
    absl::StrAppend(&text, node.name, " (", node.op, ")\n");
    for (const SbpOption& option : assignment.options[n]) {
      absl::StrAppend(
          &text, option.signature == assignment.chosen[n] ? "  * " : "    ",
          option.signature.ToString(),
          absl::StrFormat(" compute %.4g s, communication %.4g s\n",
                          option.compute_seconds,
                          option.communication_seconds));
    }
  }
  return text;
}

std::string PlacedText(const ops::Graph& graph,
                       const std::vector<ops::NdSbp>& sbp,
                       const std::vector<ops::Layout>* layout) {
  std::string text = ops::GraphText(graph);
  for (size_t t = 0; t < graph.tensors.size(); ++t) {
    absl::StrAppend(&text, graph.tensors[t].name, ": ", sbp[t].ToString());
    if (layout != nullptr && graph.tensors[t].type.shape.rank() == 4) {
      absl::StrAppend(&text, " ", ops::LayoutName((*layout)[t]));
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

std::string TasksText(const TaskGraph& graph) {
  std::string text;
  for (const LocalTask& task : graph.tasks) {
    absl::StrAppend(
        &text, "device ", task.device, " ",
        task.once ? "once" : std::string(ops::StreamKindName(task.stream)), " ",
        task.name, " = ",
        task.op.empty() ? std::string(CollectiveKindName(task.collective.kind))
                        : task.op);
    for (const auto& [name, value] : task.attributes.values()) {
      absl::StrAppend(&text, " ", name, "=", ops::AttributeToString(value));
    }
    absl::StrAppend(&text, " (");
    for (size_t i = 0; i < task.inputs.size(); ++i) {
      absl::StrAppend(&text, i > 0 ? ", %" : "%", task.inputs[i]);
    }
    absl::StrAppend(&text, ")");
    for (int r : task.outputs) {
      const LocalRegister& reg = graph.registers[r];
      absl::StrAppend(&text, " -> %", r, " ", reg.name,
                      reg.slice.shape.ToString());
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

}  // namespace facet::placement
