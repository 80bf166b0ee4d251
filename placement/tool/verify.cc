// `plan verify`: may this plan be run?

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "ops/status_macros.h"
#include "placement/plan/plan_io.h"
#include "placement/plan/validate.h"
#include "placement/plan/write_file.h"
#include "placement/tool/command_line.h"
#include "placement/tool/commands.h"
#include "placement/tool/flag_values.h"
#include "placement/tool/text_table.h"
#include "placement/tool/tool_flags.h"
#include "runtime/device/host_memory.h"

namespace facet::placement {
namespace {

// What ValidatePlan and the rest of this file prove, in words.
constexpr const char* kProven[] = {
    "the file is as it was written",
    "operators are known and have all their attributes, of the right type and "
    "with values that they accept",
    "types, shapes, shares, layouts and sizes belong together",
    "every register has one writer and is written before it is read",
    "no two registers or workspaces in use at the same time overlap, in this "
    "step or the next",
    "updates of variables come after all who read the old value",
    "the collectives of a group have the same order, kind, members and sizes "
    "on all its devices",
    "every cycle of tasks, collectives joined over their group, has a credit: "
    "no number of steps can end in a deadlock",
    "all lies within its device's arena, and the arena within the device's "
    "memory",
};

// CPU devices share the memory of the machine.
absl::Status CheckHostMemory(const Plan& plan, int64_t limit) {
  int64_t needed = 0;
  for (const Device& device : plan.devices()) {
    if (device.memory_bytes() == 0) needed += device.arena_bytes();
  }
  if (limit <= 0 || needed <= limit) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "its devices need ", BytesText(static_cast<double>(needed)),
      " of host memory together; there are ",
      BytesText(static_cast<double>(limit)), " (--host_memory_gib)"));
}

absl::StatusOr<int64_t> HostMemoryLimit() {
  constexpr double kGiB = int64_t{1} << 30;
  if (FLAGS_host_memory_gib < 0) return runtime::AvailableHostMemoryBytes();
  if (!(FLAGS_host_memory_gib <= 1e9)) {
    return InvalidFlag("host_memory_gib", absl::StrCat(FLAGS_host_memory_gib),
                       "use up to 1e9, 0 for no limit, or -1");
  }
  return static_cast<int64_t>(FLAGS_host_memory_gib * kGiB);
}

std::string VerdictJson(const std::string& file, const Plan& plan,
                        const std::vector<std::string>& violations) {
  nlohmann::ordered_json json;
  json["file"] = file;
  json["valid"] = violations.empty();
  json["violations"] = violations;
  json["proven"] = nlohmann::ordered_json::array();
  if (violations.empty()) {
    for (const char* invariant : kProven) json["proven"].push_back(invariant);
  }
  json["devices"] = plan.devices_size();
  json["tensors"] = plan.tensors_size();
  json["registers"] = plan.registers_size();
  json["tasks"] = plan.tasks_size();
  json["groups"] = plan.groups_size();
  return json.dump(1, ' ', false,
                   nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

absl::StatusOr<std::string> Verify(const Invocation& invocation) {
  if (invocation.arguments.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("verify takes one plan file, not ",
                     invocation.arguments.size(), " arguments"));
  }
  const std::string& file = invocation.arguments[0];
  ASSIGN_OR_RETURN(const std::string json, OutputPath("json", FLAGS_json));
  ASSIGN_OR_RETURN(const int64_t host_memory, HostMemoryLimit());
  ASSIGN_OR_RETURN(const UncheckedPlan read, ReadUncheckedPlan(UserPath(file)));
  const Plan& plan = read.plan;
  // Of a plan that was edited: both that it was, and what is wrong with it now.
  std::vector<std::string> violations;
  for (const absl::Status& status : {read.checksum, ValidatePlan(plan),
                                     CheckHostMemory(plan, host_memory)}) {
    if (!status.ok()) violations.emplace_back(status.message());
  }
  if (!json.empty()) {
    RETURN_IF_ERROR(
        WriteFileAtomically(json, VerdictJson(file, plan, violations)));
  }
  if (!violations.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, " is not a plan that may be run:\n  ",
                     absl::StrJoin(violations, "\n  ")));
  }
  std::string text = absl::StrCat(
      file, ": valid\n", plan.devices_size(), " devices, ", plan.tensors_size(),
      " tensors, ", plan.registers_size(), " registers, ", plan.tasks_size(),
      " tasks, ", plan.groups_size(), " groups\nproven:\n");
  for (const char* invariant : kProven) {
    absl::StrAppend(&text, "  ", Wrap(invariant, invocation.width - 2, 4),
                    "\n");
  }
  return text;
}

}  // namespace

Command VerifyCommand() {
  Command command;
  command.name = "verify";
  command.arguments = "FILE";
  command.summary = "checks that a plan may be run; exit code 1 if not";
  command.details =
      "Checks everything that a runtime relies on, without running anything, "
      "and lists what it has proven. The exit code is 0 or 1; the message "
      "names the first violation.";
  command.flags = {"json", "host_memory_gib"};
  command.run = Verify;
  return command;
}

}  // namespace facet::placement
