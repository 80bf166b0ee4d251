#include <algorithm>
#include <utility>

#include "ops/status_macros.h"
#include "placement/plan/happens_before.h"
#include "placement/plan/memory_reuse.h"
#include "placement/plan/validate_parts.h"

namespace facet::placement {
namespace {

// What lies somewhere in an arena: a register, or a task's workspace.
struct Block {
  int reg = -1;
  int writer = -1;
  std::vector<int> users;  // Those after which its contents do not matter.
};

std::string BlockLabel(const Plan& plan, const Block& block) {
  return block.reg >= 0
             ? RegisterLabel(plan, block.reg)
             : absl::StrCat("the workspace of ", TaskLabel(plan, block.writer));
}

// True if `task` may write `later` while it reads `earlier`.
bool InPlaceOf(const Task& task, int earlier, int later) {
  if (earlier < 0 || later < 0) return false;
  for (const InPlace& pair : task.in_place()) {
    if (task.inputs(pair.input()) == earlier &&
        task.outputs(pair.output()) == later) {
      return true;
    }
  }
  return false;
}

// `registers`, `tasks`: those of one device.
absl::Status CheckReuse(const Plan& plan, const std::vector<int>& registers,
                        const std::vector<int>& tasks, const RegisterUses& uses,
                        const HappensBefore& before,
                        const std::vector<int>& rank) {
  std::vector<Block> blocks;
  std::vector<MemorySpan> spans;
  for (int r : registers) {
    const Register& reg = plan.registers(r);
    if (reg.persistent() || reg.credits() != 1 || uses.producer[r] < 0) {
      continue;
    }
    Block block{r, uses.producer[r], uses.readers[r]};
    block.users.push_back(block.writer);
    spans.push_back({reg.arena_offset(), reg.arena_offset() + reg.size_bytes(),
                     rank[block.writer]});
    blocks.push_back(std::move(block));
  }
  for (int t : tasks) {
    const Task& task = plan.tasks(t);
    spans.push_back({task.workspace_offset(),
                     task.workspace_offset() + task.workspace_bytes(),
                     rank[t]});
    blocks.push_back({-1, t, {t}});
  }
  for (const Reuse& reuse : FindReuse(spans)) {
    const Block& earlier = blocks[reuse.earlier];
    const Block& later = blocks[reuse.later];
    const Task& writer = plan.tasks(later.writer);
    for (int user : earlier.users) {
      if (user == later.writer && reuse.steps == 0 &&
          InPlaceOf(writer, earlier.reg, later.reg)) {
        continue;
      }
      const bool ordered = before.Implies({user, later.writer, reuse.steps}) &&
                           !(user == later.writer && reuse.steps == 0);
      if (ordered) continue;
      return TaskError(plan, later.writer, "writes ", BlockLabel(plan, later),
                       " over ", BlockLabel(plan, earlier), ", which ",
                       TaskLabel(plan, user), " may still be using",
                       reuse.steps == 0 ? "" : " from the step before");
    }
  }
  return absl::OkStatus();
}

// Persistent registers and those with several slots share with nobody.
absl::Status CheckPersistent(const Plan& plan,
                             const std::vector<int>& registers) {
  std::vector<int> found;
  for (int r : registers) {
    const Register& reg = plan.registers(r);
    if (reg.size_bytes() > 0 && (reg.persistent() || reg.credits() > 1)) {
      found.push_back(r);
    }
  }
  std::sort(found.begin(), found.end(), [&](int a, int b) {
    return plan.registers(a).arena_offset() < plan.registers(b).arena_offset();
  });
  for (size_t i = 1; i < found.size(); ++i) {
    const Register& a = plan.registers(found[i - 1]);
    const Register& b = plan.registers(found[i]);
    const int64_t end = a.arena_offset() +
                        (a.credits() - 1) * a.slot_stride_bytes() +
                        a.size_bytes();
    if (end > b.arena_offset()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "plan: ", RegisterLabel(plan, found[i - 1]), " and ",
          RegisterLabel(plan, found[i]),
          " overlap in the persistent part of device ", a.device()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckUpdates(const Plan& plan, const RegisterUses& uses,
                          const HappensBefore& before) {
  for (int r = 0; r < plan.registers_size(); ++r) {
    const int mutator = uses.mutator[r];
    if (mutator < 0) continue;
    for (int reader : uses.readers[r]) {
      if (reader == mutator) continue;
      if (!before.Implies({reader, mutator, 0})) {
        return TaskError(plan, mutator, "may update ", RegisterLabel(plan, r),
                         " before ", TaskLabel(plan, reader), " has read it");
      }
      if (!before.Implies({mutator, reader, 1})) {
        return TaskError(plan, reader, "may read ", RegisterLabel(plan, r),
                         " before ", TaskLabel(plan, mutator),
                         " of the step before has updated it");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLifetimes(const Plan& plan, const RegisterUses& uses,
                            const std::vector<FiringEdge>& edges,
                            const std::vector<int>& order) {
  std::vector<TaskPlace> places(plan.tasks_size());
  std::vector<int> rank(plan.tasks_size(), 0);
  std::vector<std::vector<int>> registers(plan.devices_size());
  std::vector<std::vector<int>> tasks(plan.devices_size());
  for (int r = 0; r < plan.registers_size(); ++r) {
    registers[plan.registers(r).device()].push_back(r);
  }
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    if (task.once()) continue;
    places[t] = {task.device(), StreamIndex(task.stream())};
    tasks[task.device()].push_back(t);
  }
  for (size_t i = 0; i < order.size(); ++i) rank[order[i]] = i;
  const HappensBefore before(places, edges, order);
  for (int d = 0; d < plan.devices_size(); ++d) {
    RETURN_IF_ERROR(CheckPersistent(plan, registers[d]));
    RETURN_IF_ERROR(
        CheckReuse(plan, registers[d], tasks[d], uses, before, rank));
  }
  return CheckUpdates(plan, uses, before);
}

}  // namespace facet::placement
