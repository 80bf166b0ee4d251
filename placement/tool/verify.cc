// `plan verify`: may this plan be run?

#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"
#include "placement/plan/plan_io.h"
#include "placement/plan/validate.h"
#include "placement/tool/commands.h"
#include "placement/tool/flag_values.h"

namespace facet::placement {
namespace {

absl::StatusOr<std::string> Verify(const Invocation& invocation) {
  if (invocation.arguments.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("verify takes one plan file, not ",
                     invocation.arguments.size(), " arguments"));
  }
  const std::string& file = invocation.arguments[0];
  ASSIGN_OR_RETURN(const UncheckedPlan read, ReadUncheckedPlan(UserPath(file)));
  const Plan& plan = read.plan;
  // Of a plan that was edited: both that it was, and what is wrong with it now.
  const absl::Status valid = ValidatePlan(plan);
  if (!read.checksum.ok() || !valid.ok()) {
    std::string text = absl::StrCat(file, " is not a plan that may be run:");
    for (const absl::Status& status : {read.checksum, valid}) {
      if (!status.ok()) absl::StrAppend(&text, "\n  ", status.message());
    }
    if (valid.ok()) {
      absl::StrAppend(&text, "\n  (everything else about it is in order)");
    }
    return absl::InvalidArgumentError(text);
  }
  return absl::StrCat(file, ": valid: ", plan.devices_size(), " devices, ",
                      plan.tensors_size(), " tensors, ", plan.registers_size(),
                      " registers, ", plan.tasks_size(), " tasks, ",
                      plan.groups_size(), " groups\n");
}

}  // namespace

Command VerifyCommand() {
  Command command;
  command.name = "verify";
  command.arguments = "FILE";
  command.summary = "checks that a plan may be run; exit code 1 if not";
  command.details =
      "Checks everything that a runtime relies on: that the file is as it was "
      "written; that operators are known and have all their attributes, with "
      "values they accept; that shapes, types, shares and sizes belong "
      "together; that everything is written before it is read, no two "
      "registers in use at the same time overlap, and all lies within its "
      "device's arena; that the collectives of a group have the same order, "
      "members and sizes on all devices; that no step can wait forever. The "
      "exit code is 0 or 1; the message names the first violation.";
  command.run = Verify;
  return command;
}

}  // namespace facet::placement
