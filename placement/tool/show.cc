// `plan show`: a plan as text, JSON, a drawing or a page.

#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/status_macros.h"
#include "placement/plan/plan_io.h"
#include "placement/plan/write_file.h"
#include "placement/tool/commands.h"
#include "placement/tool/explanation.h"
#include "placement/tool/flag_values.h"
#include "placement/tool/graphviz.h"
#include "placement/tool/measured_times.h"
#include "placement/tool/plan_dot.h"
#include "placement/tool/plan_facts.h"
#include "placement/tool/plan_json.h"
#include "placement/tool/plan_listing.h"
#include "placement/tool/plan_page.h"
#include "placement/tool/plan_source.h"
#include "placement/tool/request.h"
#include "placement/tool/tool_flags.h"

namespace facet::placement {
namespace {

constexpr const char* kFormats[] = {"text", "json", "dot", "svg", "html"};

absl::StatusOr<StepTimes> ReadTrace(const Plan& plan, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return InvalidFlag("trace", path, "cannot read this file");
  const std::string content(std::istreambuf_iterator<char>(file), {});
  absl::StatusOr<StepTimes> times = MeasuredTimes(plan, content);
  if (times.ok()) return times;
  return InvalidFlag("trace", path, times.status().message());
}

// `compiled`: what the plan comes from; null: a file.
absl::StatusOr<std::string> Render(const Plan& plan, const Compiled* compiled,
                                   int width) {
  std::optional<double> compile_seconds;
  if (compiled != nullptr) compile_seconds = compiled->seconds;
  if (FLAGS_format == "json") return PlanJson(plan, compile_seconds);
  if (FLAGS_format != "text") {
    const PlanGraphOptions graph = {.unfold = FLAGS_unfold,
                                    .backward = FLAGS_backward,
                                    .merge_layers = true};
    if (FLAGS_format == "html") {
      std::optional<Explainer> explainer;
      if (compiled != nullptr) explainer.emplace(*compiled);
      std::optional<StepTimes> measured;
      if (!FLAGS_trace.empty()) {
        ASSIGN_OR_RETURN(measured, ReadTrace(plan, UserPath(FLAGS_trace)));
      }
      return PlanPage(plan, explainer.has_value() ? &*explainer : nullptr,
                      measured, graph);
    }
    const std::string dot =
        PlanDot(plan, MakePlanGraph(plan, graph),
                absl::StrCat(plan.name(), " on ", plan.devices_size(), " x ",
                             HardwareText(plan)));
    return FLAGS_format == "dot" ? dot : DrawSvg(dot);
  }
  ListingOptions options;
  options.width = width;
  options.unfold = FLAGS_unfold;
  options.compile_seconds = compile_seconds;
  std::string text = PlanListing(plan, options);
  if (compiled != nullptr && !compiled->note.empty()) {
    absl::StrAppend(&text, "\n", compiled->note, "\n");
  }
  return text;
}

absl::StatusOr<std::string> Show(const Invocation& invocation) {
  bool known = false;
  for (const char* format : kFormats) known = known || FLAGS_format == format;
  if (!known) {
    return InvalidFlag("format", FLAGS_format,
                       absl::StrCat("use ", absl::StrJoin(kFormats, ", ")));
  }
  std::vector<std::string> files = invocation.arguments;
  if (!FLAGS_plan.empty()) files.push_back(FLAGS_plan);
  if (files.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("show takes one plan, not ", files.size(), ": ",
                     absl::StrJoin(files, ", "), "; `diff` compares two"));
  }
  // Before the work, not after it.
  ASSIGN_OR_RETURN(const std::string out, OutputPath("out", FLAGS_out));
  ASSIGN_OR_RETURN(const std::string json, OutputPath("json", FLAGS_json));
  ASSIGN_OR_RETURN(const std::string plan_out, PlanOutputPath(FLAGS_plan_out));
  std::optional<Compiled> compiled;
  Plan read;
  if (files.empty()) {
    ASSIGN_OR_RETURN(compiled, CompileFromFlags());
  } else {
    ASSIGN_OR_RETURN(read, ReadPlan(UserPath(files[0])));
  }
  const Plan& plan = compiled.has_value() ? compiled->result.plan : read;
  ASSIGN_OR_RETURN(const std::string content,
                   Render(plan, compiled.has_value() ? &*compiled : nullptr,
                          invocation.width));
  if (!json.empty()) {
    std::optional<double> seconds;
    if (compiled.has_value()) seconds = compiled->seconds;
    RETURN_IF_ERROR(WriteFileAtomically(json, PlanJson(plan, seconds)));
  }
  if (!plan_out.empty()) RETURN_IF_ERROR(WritePlan(plan, plan_out));
  if (out.empty()) return content;
  RETURN_IF_ERROR(WriteFileAtomically(out, content));
  return absl::StrCat("wrote ", out, "\n");
}

}  // namespace

Command ShowCommand() {
  Command command;
  command.name = "show";
  command.arguments = "[FILE]";
  command.summary = "a plan as tables, JSON, a drawing or a page";
  command.details =
      "Shows the plan in FILE, or compiles the model that the flags describe, "
      "for devices like this machine's, of which there may be more than it "
      "has.";
  command.flags = {"format", "out",  "unfold",   "backward",
                   "json",   "plan", "plan_out", "trace"};
  for (std::string& flag : RequestFlags()) command.flags.push_back(flag);
  command.run = Show;
  return command;
}

}  // namespace facet::placement
