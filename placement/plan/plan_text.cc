#include "placement/plan/plan_text.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "placement/plan/attribute.h"
#include "placement/plan/stated_devices.h"

namespace facet::placement {
namespace {

// "%12 layer1.0.conv1: float32[32, 64, 56, 56] nchw @1024+25690112 x2"
std::string RegisterText(const Plan& plan, int r) {
  const Register& reg = plan.registers(r);
  std::string text =
      absl::StrCat("%", r, " ", reg.name(), ": ", reg.dtype(), "[",
                   absl::StrJoin(reg.shape(), ", "), "] ", reg.layout(), " @",
                   reg.arena_offset(), "+", reg.size_bytes());
  if (reg.credits() > 1) absl::StrAppend(&text, " x", reg.credits());
  if (reg.persistent()) absl::StrAppend(&text, " persistent");
  if (reg.tensor() >= 0) {
    const LogicalTensor& tensor = plan.tensors(reg.tensor());
    absl::StrAppend(&text, " ", absl::StrJoin(tensor.sbp(), ","));
    if (absl::StrJoin(reg.shape(), ",") !=
        absl::StrJoin(reg.global_shape(), ",")) {
      absl::StrAppend(&text, " of [", absl::StrJoin(reg.global_shape(), ", "),
                      "] from [", absl::StrJoin(reg.offset(), ", "), "]");
    }
  }
  return text;
}

std::string TaskText(const Plan& plan, absl::string_view number,
                     const Task& task) {
  std::string text =
      absl::StrCat("  ", number, " ", task.once() ? "once" : task.stream(), " ",
                   task.name(), " = ");
  std::vector<std::string> operands;
  for (int i = 0; i < task.inputs_size(); ++i) {
    std::string operand = absl::StrCat("%", task.inputs(i));
    for (int m : task.mutates()) {
      if (m == i) operand += "!";
    }
    operands.push_back(operand);
  }
  if (task.has_collective()) {
    const Collective& c = task.collective();
    absl::StrAppend(&text, Collective::Kind_Name(c.kind()), "(",
                    absl::StrJoin(operands, ", "), ")");
    if (c.reduce() != Collective::NONE) {
      absl::StrAppend(&text, " ", Collective::Reduce_Name(c.reduce()));
    }
    absl::StrAppend(&text, " group ", c.group(), " number ", c.sequence(), " ",
                    c.transition());
  } else {
    absl::StrAppend(&text, task.op(), "(", absl::StrJoin(operands, ", "), ")");
    if (task.parts() > 1) absl::StrAppend(&text, " x", task.parts());
  }
  if (task.every() > 1) absl::StrAppend(&text, " every ", task.every());
  if (!task.has_collective()) {
    const auto attributes = ReadAttributes(task);
    if (attributes.ok()) {
      for (const auto& [name, value] : attributes->values()) {
        absl::StrAppend(&text, " ", name, "=", ops::AttributeToString(value));
      }
    }
  }
  for (const InPlace& pair : task.in_place()) {
    absl::StrAppend(&text, " in place of %", task.inputs(pair.input()));
  }
  if (task.workspace_bytes() > 0) {
    absl::StrAppend(&text, " workspace @", task.workspace_offset(), "+",
                    task.workspace_bytes());
  }
  for (const Wait& wait : task.waits()) {
    absl::StrAppend(&text, " after task ", wait.task(),
                    wait.steps() > 0 ? " of the step before" : "");
  }
  absl::StrAppend(&text, "\n");
  for (int r : task.outputs()) {
    absl::StrAppend(&text, "      ", RegisterText(plan, r), "\n");
  }
  return text;
}

}  // namespace

std::string PlanText(const Plan& plan) {
  std::string text = PlacementTable(plan);
  std::vector<std::vector<int>> tasks(plan.devices_size());
  for (int t = 0; t < plan.tasks_size(); ++t) {
    tasks[plan.tasks(t).device()].push_back(t);
  }
  const std::vector<int> counts = CountLike(plan);
  for (int d = 0; d < plan.devices_size(); ++d) {
    if (counts[d] == 0) continue;
    absl::StrAppend(&text, "\ndevice ", d, " ", plan.devices(d).name(), ": ",
                    tasks[d].size(), " tasks");
    if (counts[d] > 1) {
      absl::StrAppend(&text, ", and ", counts[d] - 1, " devices like it");
    }
    absl::StrAppend(&text, "\n");
    for (int t : tasks[d]) {
      absl::StrAppend(&text, TaskText(plan, absl::StrCat(t), plan.tasks(t)));
    }
  }
  if (!plan.settle_tasks().empty()) {
    absl::StrAppend(&text, "\nbefore variables are read or written\n");
  }
  for (const Task& task : plan.settle_tasks()) {
    absl::StrAppend(
        &text, TaskText(plan, absl::StrCat("device ", task.device()), task));
  }
  return text;
}

}  // namespace facet::placement
