// `plan show`: a plan as text, JSON, a drawing or a page.

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/status_macros.h"
#include "placement/plan/plan_io.h"
#include "placement/plan/write_file.h"
#include "placement/tool/commands.h"
#include "placement/tool/flag_values.h"
#include "placement/tool/graphviz.h"
#include "placement/tool/plan_dot.h"
#include "placement/tool/plan_json.h"
#include "placement/tool/plan_listing.h"
#include "placement/tool/plan_source.h"
#include "placement/tool/tool_flags.h"

namespace facet::placement {
namespace {

constexpr const char* kFormats[] = {"text", "json", "dot", "svg"};

absl::StatusOr<std::string> Render(const Plan& plan,
                                   std::optional<double> compile_seconds,
                                   const std::string& note, int width) {
  if (FLAGS_format == "json") return PlanJson(plan, compile_seconds);
  if (FLAGS_format != "text") {
    const PlanGraph graph = MakePlanGraph(
        plan, {.unfold = FLAGS_unfold, .backward = FLAGS_backward});
    const std::string dot = PlanDot(plan, graph);
    return FLAGS_format == "dot" ? dot : DrawSvg(dot);
  }
  ListingOptions options;
  options.width = width;
  options.unfold = FLAGS_unfold;
  options.compile_seconds = compile_seconds;
  return absl::StrCat(PlanListing(plan, options),
                      note.empty() ? "" : absl::StrCat("\n", note, "\n"));
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
    return absl::InvalidArgumentError(absl::StrCat(
        "show takes one plan, not ", files.size(), ": ",
        absl::StrJoin(files, ", "), "; `diff` compares two"));
  }
  // Before the work, not after it.
  ASSIGN_OR_RETURN(const std::string out, OutputPath("out", FLAGS_out));
  ASSIGN_OR_RETURN(const std::string json, OutputPath("json", FLAGS_json));
  ASSIGN_OR_RETURN(const std::string plan_out,
                   OutputPath("plan_out", FLAGS_plan_out));
  Plan plan;
  std::optional<double> compile_seconds;
  std::string note;
  if (files.empty()) {
    ASSIGN_OR_RETURN(Compiled compiled, CompileFromFlags());
    plan = std::move(compiled.result.plan);
    compile_seconds = compiled.seconds;
    note = compiled.note;
  } else {
    ASSIGN_OR_RETURN(plan, ReadPlan(UserPath(files[0])));
  }
  ASSIGN_OR_RETURN(const std::string content,
                   Render(plan, compile_seconds, note, invocation.width));
  if (!json.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(json, PlanJson(plan, compile_seconds)));
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
                   "json",   "plan", "plan_out"};
  for (std::string& flag : ModelFlags()) command.flags.push_back(flag);
  command.run = Show;
  return command;
}

}  // namespace facet::placement
