#include "placement/tool/plan_page.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"
#include "ops/status_macros.h"
#include "placement/plan/stated_devices.h"
#include "placement/simulate/simulator.h"
#include "placement/tool/graphviz.h"
#include "placement/tool/page_files.h"
#include "placement/tool/plan_dot.h"
#include "placement/tool/plan_facts.h"
#include "placement/tool/text_table.h"

namespace facet::placement {
namespace {

using Json = nlohmann::ordered_json;

// Devices drawn one by one; more are alike, or too many to look at.
constexpr int kMostDevices = 16;

std::string HtmlText(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

Json FiniteOrNull(double value) {
  return std::isfinite(value) ? Json(value) : Json();
}

// Why an operator is placed so.
void AddReasons(const Explainer& explainer, const Task& task, Json* op) {
  const ops::NodeId node = explainer.FindNode(task.name());
  if (node == ops::kNone) return;
  (*op)["signatures"] = Json::array();
  for (const SignatureChoice& s : explainer.Signatures(node)) {
    Json choice = {{"signature", s.signature},
                   {"chosen", s.chosen},
                   {"compute", s.compute_seconds},
                   {"communication", FiniteOrNull(s.communication_seconds)},
                   {"why", s.why}};
    if (!std::isnan(s.step_seconds)) {
      choice["step"] = FiniteOrNull(s.step_seconds);
    }
    (*op)["signatures"].push_back(std::move(choice));
  }
}

// All operators and collectives of a step, whether drawn or not; repeated
// blocks once.
Json Operators(const Plan& plan, const PlanGraph& all, const PlanGraph& drawn,
               const Explainer* explainer) {
  std::map<std::string, int> drawn_node;
  Json operators = Json::array();
  for (const GraphNode& node : all.nodes) {
    const Task& task = plan.tasks(node.task);
    Json op = {{"name", node.name},
               {"op", task.op()},
               {"layer", task.layer()},
               {"part", task.part()},
               {"phase", task.phase()},
               {"times", all.blocks[node.block].times},
               {"drawn", drawn.node_of_task[node.task]},
               {"seconds", task.predicted_seconds()}};
    op["outputs"] = Json::array();
    op["reads"] = Json::array();
    for (int r : task.outputs()) {
      const Register& reg = plan.registers(r);
      if (reg.tensor() < 0) continue;
      const LogicalTensor& tensor = plan.tensors(reg.tensor());
      op["outputs"].push_back({{"tensor", tensor.name()},
                               {"type", TypeText(tensor)},
                               {"sbp", SbpText(tensor)},
                               {"bytes", reg.size_bytes()}});
    }
    for (int r : task.inputs()) {
      const Register& reg = plan.registers(r);
      if (reg.tensor() < 0) continue;
      const LogicalTensor& tensor = plan.tensors(reg.tensor());
      op["reads"].push_back({{"tensor", tensor.name()},
                             {"type", TypeText(tensor)},
                             {"sbp", SbpText(tensor)},
                             {"bytes", reg.size_bytes()},
                             {"variable", tensor.variable()}});
    }
    if (task.has_collective()) {
      const Collective& c = task.collective();
      op["collective"] = {{"kind", KindText(c)},
                          {"transition", c.transition()},
                          {"bytes", c.bytes()},
                          {"ranks", task.num_ranks()}};
    } else if (explainer != nullptr) {
      AddReasons(*explainer, task, &op);
    }
    operators.push_back(std::move(op));
  }
  return operators;
}

// Names that come once for every device, or repetition, are written once.
class NameTable {
 public:
  int Of(const std::string& name) {
    const auto [it, is_new] =
        index_.emplace(name, static_cast<int>(names_.size()));
    if (is_new) names_.push_back(name);
    return it->second;
  }
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::map<std::string, int> index_;
  std::vector<std::string> names_;
};

// To nanoseconds: shorter to write.
double Rounded(double seconds) { return std::round(seconds * 1e9) / 1e9; }

// Timeline and memory of the devices. Devices that look the same share theirs.
class Charts {
 public:
  Charts(const Plan& plan, const PlanGraph& all, const StepTimes& times,
         double begin, double end)
      : plan_(plan), all_(all), times_(times), begin_(begin), end_(end) {}

  // Into "names", "memory", "timeline".
  void AddTo(Json* data);

 private:
  Json MemoryOf(int device);
  Json StreamsOf(int device);

  const Plan& plan_;
  const PlanGraph& all_;
  const StepTimes& times_;
  const double begin_, end_;
  NameTable names_;
  std::vector<int> writer_;          // By register: task; -1: none.
  std::vector<TaskTime> lifetimes_;  // By register.
};

// Blocks (start, end, offset, size, name, phase, operator); phase "" holds for
// the whole run.
Json Charts::MemoryOf(int device) {
  Json blocks = Json::array();
  for (int r = 0; r < plan_.registers_size(); ++r) {
    const Register& reg = plan_.registers(r);
    if (reg.device() != device || reg.size_bytes() == 0 || writer_[r] < 0) {
      continue;
    }
    const bool whole_run = reg.persistent() || reg.credits() > 1;
    for (int slot = 0; slot < reg.credits(); ++slot) {
      blocks.push_back(
          {whole_run ? begin_ : Rounded(lifetimes_[r].start),
           whole_run ? end_ : Rounded(lifetimes_[r].end),
           reg.arena_offset() + slot * reg.slot_stride_bytes(),
           reg.size_bytes(), names_.Of(reg.name()),
           names_.Of(whole_run ? "" : plan_.tasks(writer_[r]).phase()),
           all_.node_of_task[writer_[r]]});
    }
  }
  for (int t = 0; t < plan_.tasks_size(); ++t) {
    const Task& task = plan_.tasks(t);
    if (task.device() != device || task.workspace_bytes() == 0 || task.once()) {
      continue;
    }
    blocks.push_back({Rounded(times_.tasks[t].start),
                      Rounded(times_.tasks[t].end), task.workspace_offset(),
                      task.workspace_bytes(),
                      names_.Of(absl::StrCat("workspace of ", task.name())),
                      names_.Of(task.phase()), all_.node_of_task[t]});
  }
  return blocks;
}

// Tasks (start, end, name, phase, operator).
Json Charts::StreamsOf(int device) {
  std::map<std::string, Json> streams;
  for (int t = 0; t < plan_.tasks_size(); ++t) {
    const Task& task = plan_.tasks(t);
    if (task.device() != device || task.once()) continue;
    streams.emplace(task.stream(), Json::array())
        .first->second.push_back(
            {Rounded(times_.tasks[t].start), Rounded(times_.tasks[t].end),
             names_.Of(task.name()), names_.Of(task.phase()),
             all_.node_of_task[t]});
  }
  Json list = Json::array();
  for (auto& [name, tasks] : streams) {
    list.push_back({{"name", name}, {"tasks", std::move(tasks)}});
  }
  return list;
}

void Charts::AddTo(Json* data) {
  writer_.assign(plan_.registers_size(), -1);
  lifetimes_.resize(plan_.registers_size());
  for (int t = 0; t < plan_.tasks_size(); ++t) {
    const Task& task = plan_.tasks(t);
    for (int r : task.outputs()) writer_[r] = t;
    if (task.once()) continue;
    for (int r : task.outputs()) lifetimes_[r].start = times_.tasks[t].start;
    for (const auto* list : {&task.inputs(), &task.outputs()}) {
      for (int r : *list) {
        lifetimes_[r].end = std::max(lifetimes_[r].end, times_.tasks[t].end);
      }
    }
  }
  Json& memory = (*data)["memory"] = Json::array();
  Json& timeline = (*data)["timeline"] = Json::array();
  std::map<std::string, size_t> known_memory, known_streams;
  std::vector<std::vector<std::string>> names;  // By entry of memory.
  std::map<int, size_t> entry_of;               // Of memory, by device.
  for (int d = 0; d < plan_.devices_size(); ++d) {
    const Device& device = plan_.devices(d);
    if (!IsStated(device)) {
      // Its equal has an entry, unless there were too many.
      const auto entry = entry_of.find(device.like());
      if (entry != entry_of.end()) {
        names[entry->second].push_back(device.name());
      }
      continue;
    }
    Json blocks = MemoryOf(d);
    const auto [it, is_new] =
        known_memory.emplace(blocks.dump(), memory.size());
    if (!is_new) {
      entry_of[d] = it->second;
      names[it->second].push_back(device.name());
    } else if (static_cast<int>(memory.size()) == kMostDevices) {
      known_memory.erase(it);
    } else {
      entry_of[d] = memory.size();
      names.push_back({device.name()});
      memory.push_back({{"arena", device.arena_bytes()},
                        {"persistent", device.persistent_bytes()},
                        {"blocks", std::move(blocks)}});
    }
    if (static_cast<int>(timeline.size()) == kMostDevices) continue;
    Json streams = StreamsOf(d);
    const auto [same, differs] =
        known_streams.emplace(streams.dump(), timeline.size());
    timeline.push_back({{"name", device.name()}});
    if (differs) {
      timeline.back()["streams"] = std::move(streams);
    } else {
      timeline.back()["as"] = same->second;
    }
  }
  for (size_t i = 0; i < memory.size(); ++i) {
    memory[i]["name"] =
        names[i].size() == 1
            ? names[i][0]
            : absl::StrCat(names[i].front(), " … ", names[i].back(), ", ",
                           names[i].size(), " alike");
  }
  (*data)["names"] = names_.names();
}

std::string FactsHtml(const Plan& plan) {
  const PlanTotals totals = FindTotals(plan);
  std::string html;
  auto fact = [&](const std::string& value, const std::string& name) {
    absl::StrAppend(&html, "<div class=\"fact\"><b>", HtmlText(value),
                    "</b><span>", HtmlText(name), "</span></div>");
  };
  fact(SecondsText(plan.predicted_step_seconds()), "a step, predicted");
  fact(BytesText(static_cast<double>(totals.arena_bytes)),
       "memory of the fullest device");
  fact(absl::StrFormat("%.4f", totals.arena_over_lower_bound),
       "of the least memory possible");
  fact(BytesText(static_cast<double>(totals.collective_bytes)),
       "sent by a device in a step");
  fact(absl::StrCat(totals.collectives), "collectives in a step");
  if (totals.optimality_gap >= 0) {
    fact(absl::StrFormat("%.2g%%", totals.optimality_gap * 100),
         "from the best placement, at most");
  }
  return html;
}

std::set<std::string> Sbps(const Plan& plan) {
  std::set<std::string> sbps;
  for (const LogicalTensor& tensor : plan.tensors()) {
    sbps.insert(SbpText(tensor));
  }
  return sbps;
}

// "S(0)": "split along dimension 0".
std::string SbpInWords(const std::string& sbp) {
  if (sbp == "B") return "whole on every device";
  if (sbp.rfind("S(", 0) == 0) {
    return absl::StrCat("split along dimension ",
                        sbp.substr(2, sbp.size() - 3));
  }
  if (sbp == "P(sum)") return "to be added up";
  if (sbp == "P(max)") return "to take the maximum of";
  return "";
}

std::string LegendHtml(const Plan& plan) {
  std::string html;
  for (const std::string& sbp : Sbps(plan)) {
    absl::StrAppend(
        &html, "<span class=\"key\" title=\"", HtmlText(SbpInWords(sbp)),
        "\"><span class=\"swatch\" style=\"background:", SbpColor(sbp),
        "\"></span>", HtmlText(sbp), " ", HtmlText(SbpInWords(sbp)), "</span>");
  }
  return html +
         "<span class=\"key\"><span class=\"swatch collective\"></span>"
         "collective, in the colour of its result</span>";
}

}  // namespace

absl::StatusOr<std::string> PlanPage(const Plan& plan,
                                     const Explainer* explainer,
                                     const std::optional<StepTimes>& measured,
                                     const PlanGraphOptions& options) {
  PlanGraphOptions everything = options;
  everything.backward = true;
  everything.merge_layers = false;
  const PlanGraph drawn = MakePlanGraph(plan, options);
  const PlanGraph all = MakePlanGraph(plan, everything);
  ASSIGN_OR_RETURN(std::string svg, DrawSvg(PlanDot(plan, drawn, "")));
  // The declaration before the element is for files of their own.
  svg.erase(0, svg.find("<svg"));

  const StepTimes times =
      measured.has_value() ? *measured : SimulateSteadyStep(plan);
  double begin = 0, end = times.seconds;
  for (const TaskTime& task : times.tasks) {
    begin = std::min(begin, task.start);
    end = std::max(end, task.end);
  }
  // What works ahead may begin whole steps before: only the end is of interest.
  begin = std::max(begin, -0.03 * times.seconds);
  Json data;
  data["begin"] = begin;
  data["end"] = end > begin ? end : begin + 1e-9;
  data["no_alternatives"] =
      explainer != nullptr
          ? "placement put this in: it had no choice of its own"
          : "This page was made from a saved plan, which does not hold what "
            "the search rejected: make it with the model's flags to see that.";
  data["ops"] = Operators(plan, all, drawn, explainer);
  Charts(plan, all, times, data["begin"], data["end"]).AddTo(&data);
  for (const std::string& sbp : Sbps(plan)) data["colors"][sbp] = SbpColor(sbp);
  // "</script>" in a name must not end the element.
  const std::string json = absl::StrReplaceAll(
      data.dump(-1, ' ', false, Json::error_handler_t::replace),
      {{"</", "<\\/"}, {"<!--", "<\\u0021--"}});
  const std::string title =
      absl::StrCat(HtmlText(plan.name()), " on ", plan.devices_size(), " × ",
                   HtmlText(HardwareText(plan)));
  return absl::StrReplaceAll(
      kPageHtml, {{"@TITLE@", title},
                  {"@CSS@", kPageCss},
                  {"@FACTS@", FactsHtml(plan)},
                  {"@LEGEND@", LegendHtml(plan)},
                  {"@TIMES@", measured.has_value() ? "measured" : "simulated"},
                  {"@SVG@", svg},
                  {"@DATA@", json},
                  {"@JS@", kPageJs}});
}

}  // namespace facet::placement
