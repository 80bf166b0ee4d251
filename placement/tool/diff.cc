// `plan diff`: what changed from one plan to another.

#include <utility>

#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"
#include "placement/plan/plan_io.h"
#include "placement/plan/write_file.h"
#include "placement/tool/commands.h"
#include "placement/tool/flag_values.h"
#include "placement/tool/plan_diff.h"
#include "placement/tool/plan_source.h"
#include "placement/tool/request.h"
#include "placement/tool/tool_flags.h"

namespace facet::placement {
namespace {

absl::StatusOr<std::string> Diff(const Invocation& invocation) {
  const std::vector<std::string>& files = invocation.arguments;
  if (files.empty() || files.size() > 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "diff takes two plan files, or one to compare with what the flags "
        "compile to; not ",
        files.size()));
  }
  ASSIGN_OR_RETURN(const std::string json, OutputPath("json", FLAGS_json));
  ASSIGN_OR_RETURN(const Plan before, ReadPlan(UserPath(files[0])));
  Plan after;
  if (files.size() == 2) {
    ASSIGN_OR_RETURN(after, ReadPlan(UserPath(files[1])));
  } else {
    ASSIGN_OR_RETURN(Compiled compiled, CompileFromFlags());
    after = std::move(compiled.result.plan);
  }
  const PlanDifference difference = ComparePlans(before, after);
  if (!json.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(json, DifferenceJson(difference)));
  }
  return DifferenceText(difference, FLAGS_unfold, invocation.width);
}

}  // namespace

Command DiffCommand() {
  Command command;
  command.name = "diff";
  command.arguments = "BEFORE [AFTER]";
  command.summary = "what changed from one plan to another";
  command.details =
      "Compares the plans in two files, or the one in BEFORE with what the "
      "flags compile to now: predicted time, memory, options, collectives and "
      "their bytes, tensors and their SBP. Only what differs is listed.";
  command.flags = {"unfold", "json"};
  for (std::string& flag : RequestFlags()) command.flags.push_back(flag);
  command.run = Diff;
  return command;
}

}  // namespace facet::placement
