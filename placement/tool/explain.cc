// `plan explain`: why a tensor lies, or an operator works, as it does.

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "ops/status_macros.h"
#include "placement/plan/write_file.h"
#include "placement/tool/command_line.h"
#include "placement/tool/commands.h"
#include "placement/tool/explanation.h"
#include "placement/tool/flag_values.h"
#include "placement/tool/plan_source.h"
#include "placement/tool/request.h"
#include "placement/tool/text_table.h"
#include "placement/tool/tool_flags.h"

namespace facet::placement {
namespace {

using Json = nlohmann::ordered_json;

// "0", "12 us", "inf".
std::string CostText(double seconds) {
  if (seconds == 0) return "0";
  return std::isfinite(seconds) ? SecondsText(seconds) : "impossible";
}

// "+1.234 ms"
std::string MoreText(double seconds) {
  return absl::StrCat(seconds >= 0 ? "+" : "", SecondsText(seconds));
}

std::string ChoiceTable(const TensorExplanation& e, int width) {
  const SbpChoice& chosen = e.choices[0];
  TextTable table({{"sbp"},
                   {"step", true},
                   {"compute", true},
                   {"communication", true},
                   {"tensor", true},
                   {"arena", true}});
  table.Add({absl::StrCat("* ", chosen.sbp), SecondsText(chosen.seconds),
             SecondsText(chosen.compute_seconds),
             SecondsText(chosen.communication_seconds),
             BytesText(static_cast<double>(chosen.tensor_bytes)),
             BytesText(static_cast<double>(chosen.arena_bytes))});
  for (size_t i = 1; i < e.choices.size(); ++i) {
    const SbpChoice& c = e.choices[i];
    if (!c.possible) {
      table.Add({"  " + c.sbp, "-", "-", "-", "-", "-"});
      continue;
    }
    table.Add({"  " + c.sbp, MoreText(c.seconds - chosen.seconds),
               MoreText(c.compute_seconds - chosen.compute_seconds),
               MoreText(c.communication_seconds - chosen.communication_seconds),
               BytesText(static_cast<double>(c.tensor_bytes)),
               BytesText(static_cast<double>(c.arena_bytes))});
  }
  // The reasons under it, whole.
  std::string text = table.ToString(width) + "\n";
  for (const SbpChoice& c : e.choices) {
    std::string sbp = c.sbp;
    sbp.resize(std::max<size_t>(sbp.size(), 6), ' ');
    absl::StrAppend(&text, c.chosen ? "* " : "  ", sbp, "  ",
                    Wrap(c.chosen ? e.forced_by : c.why, width - 10, 10), "\n");
  }
  return text;
}

std::string List(const std::string& title,
                 const std::vector<std::string>& lines) {
  constexpr size_t kMost = 12;
  std::string text;
  for (size_t i = 0; i < lines.size() && i < kMost; ++i) {
    absl::StrAppend(&text, i == 0 ? title : std::string(title.size(), ' '),
                    "  ", lines[i], "\n");
  }
  if (lines.size() > kMost) {
    absl::StrAppend(&text, std::string(title.size(), ' '), "  and ",
                    lines.size() - kMost, " more\n");
  }
  return text;
}

// The signatures of an operator: alone, and in the best step with each.
std::string SignatureTable(const std::vector<SignatureChoice>& signatures,
                           int width) {
  TextTable table({{"signature", false, true},
                   {"compute", true},
                   {"communication", true},
                   {"step", true}});
  for (const SignatureChoice& s : signatures) {
    const double more = s.step_seconds - signatures[0].step_seconds;
    table.Add({absl::StrCat(s.chosen ? "* " : "  ", s.signature),
               CostText(s.compute_seconds), CostText(s.communication_seconds),
               std::isnan(s.step_seconds)   ? "not known"
               : std::isinf(s.step_seconds) ? "impossible"
               : s.chosen                   ? SecondsText(s.step_seconds)
                                            : MoreText(more)});
  }
  return table.ToString(width);
}

Json ChoiceJson(const SbpChoice& c) {
  Json json = {{"sbp", c.sbp},
               {"chosen", c.chosen},
               {"possible", c.possible},
               {"why", c.why}};
  if (!c.possible) return json;
  json["step_seconds"] = c.seconds;
  json["compute_seconds"] = c.compute_seconds;
  json["communication_seconds"] = c.communication_seconds;
  json["tensor_bytes_per_device"] = c.tensor_bytes;
  json["arena_bytes"] = c.arena_bytes;
  json["predicted_step_seconds"] = c.predicted_step_seconds;
  return json;
}

Json SignaturesJson(const std::vector<SignatureChoice>& signatures) {
  Json list = Json::array();
  for (const SignatureChoice& s : signatures) {
    list.push_back({{"signature", s.signature},
                    {"chosen", s.chosen},
                    {"compute_seconds", s.compute_seconds},
                    {"communication_seconds", s.communication_seconds},
                    {"step_seconds", s.step_seconds}});
  }
  return list;
}

absl::StatusOr<std::string> Explain(const Invocation& invocation) {
  if (invocation.arguments.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "explain takes the name of one tensor or operator, such as "
        "head.weight; not ",
        invocation.arguments.size(), " arguments"));
  }
  const std::string& name = invocation.arguments[0];
  ASSIGN_OR_RETURN(const std::string json_path, OutputPath("json", FLAGS_json));
  ASSIGN_OR_RETURN(const Compiled compiled, CompileFromFlags());
  const Explainer explainer(compiled);
  const ops::TensorId tensor = explainer.FindTensor(name);
  const ops::NodeId node = tensor != ops::kNone
                               ? compiled.result.graph.tensors[tensor].producer
                               : explainer.FindNode(name);
  if (node == ops::kNone) {
    return absl::NotFoundError(absl::StrCat(
        "\"", name, "\" is no tensor or operator of ",
        compiled.result.graph.name, "; ", explainer.Suggestion(name)));
  }
  const ops::Node& n = compiled.result.graph.nodes[node];
  // All outputs of an operator that is asked for by name; else the tensor.
  std::vector<ops::TensorId> tensors = n.outputs;
  if (tensor != ops::kNone && n.name != name) tensors = {tensor};
  std::string text;
  Json json;
  json["name"] = name;
  json["op"] = n.op;
  json["layer"] = n.origin.layer;
  json["tensors"] = Json::array();
  for (ops::TensorId t : tensors) {
    ASSIGN_OR_RETURN(const TensorExplanation e, explainer.Explain(t));
    absl::StrAppend(&text, e.tensor, ": ", e.type, ", made by ", e.op,
                    " in layer ", e.layer, " (", e.part, ", ", e.phase,
                    "); on ", compiled.cluster.num_devices(), " devices ",
                    e.choices[0].sbp, "\n\n", ChoiceTable(e, invocation.width),
                    "\n", List("moved", e.movement), List("read ", e.readers),
                    e.movement.empty() && e.readers.empty() ? "" : "\n");
    Json entry = {{"tensor", e.tensor},      {"type", e.type},
                  {"sbp", e.choices[0].sbp}, {"forced_by", e.forced_by},
                  {"moved", e.movement},     {"readers", e.readers}};
    entry["options"] = Json::array();
    for (const SbpChoice& c : e.choices) {
      entry["options"].push_back(ChoiceJson(c));
    }
    json["tensors"].push_back(std::move(entry));
  }
  const std::vector<SignatureChoice> signatures = explainer.Signatures(node);
  absl::StrAppend(&text, n.name, " (", n.op, "):\n\n",
                  SignatureTable(signatures, invocation.width));
  json["signatures"] = SignaturesJson(signatures);
  if (!compiled.note.empty()) absl::StrAppend(&text, "\n", compiled.note, "\n");
  if (!json_path.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(
        json_path,
        json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"));
  }
  return text;
}

}  // namespace

Command ExplainCommand() {
  Command command;
  command.name = "explain";
  command.arguments = "TENSOR_OR_OP";
  command.summary = "why it lies so: all options, their cost, who forced it";
  command.details =
      "Compiles what the flags say, then once more for every SBP that the "
      "tensor could have, with that one pinned: the first line (*) is what was "
      "chosen, the others what the best plan with them would cost more, and "
      "why. \"step\" is the search's model of a step (nothing overlaps), "
      "\"arena\" the memory of the device that needs most. Below: the "
      "operator's signatures, with their own compute and the communication "
      "that its neighbours as they are would need, and the least step that the "
      "search finds with each under all its rules.";
  command.flags = {"json"};
  for (std::string& flag : RequestFlags()) command.flags.push_back(flag);
  command.run = Explain;
  return command;
}

}  // namespace facet::placement
