#include "placement/plan/random_execution.h"

#include <algorithm>
#include <map>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"
#include "placement/plan/firing.h"

namespace facet::placement {
namespace {

constexpr int64_t kChunk = 64;

// What a chunk of an arena holds: register (or -1 - task, for a workspace)
// and the step it is of (for a variable: the number of updates).
using Mark = std::pair<int, int64_t>;

class Execution {
 public:
  Execution(const Plan& plan, int steps, uint64_t seed)
      : plan_(plan),
        steps_(steps),
        random_(seed),
        edges_(FiringEdges(plan)),
        state_(edges_, plan.tasks_size()),
        arenas_(plan.devices_size()),
        started_(plan.tasks_size(), 0),
        finished_(plan.tasks_size(), 0),
        updates_(plan.registers_size(), 0),
        mutated_(plan.registers_size(), false) {
    for (int t = 0; t < plan.tasks_size(); ++t) {
      for (int i : plan.tasks(t).mutates()) {
        mutated_[plan.tasks(t).inputs(i)] = true;
      }
      if (!plan.tasks(t).has_collective()) continue;
      const Collective& c = plan.tasks(t).collective();
      members_[{c.group(), c.sequence()}].push_back(t);
    }
  }

  absl::Status Run() {
    for (int t = 0; t < plan_.tasks_size(); ++t) {
      if (!plan_.tasks(t).once()) continue;
      for (int r : plan_.tasks(t).outputs()) Write(r, 0);
    }
    std::vector<int> waiting;  // Tasks that have steps to start.
    for (int t = 0; t < plan_.tasks_size(); ++t) {
      if (!plan_.tasks(t).once()) waiting.push_back(t);
    }
    std::vector<int> running;
    while (!waiting.empty() || !running.empty()) {
      std::vector<int> can_start, can_finish;
      for (int t : waiting) {
        if (state_.CanFire(t) && started_[t] == finished_[t]) {
          can_start.push_back(t);
        }
      }
      for (int t : running) {
        if (MayFinish(t)) can_finish.push_back(t);
      }
      const size_t choices = can_start.size() + can_finish.size();
      if (choices == 0) {
        return absl::InternalError(absl::StrCat(
            "stalled; waiting: ",
            plan_.tasks(waiting.empty() ? running[0] : waiting[0]).name()));
      }
      const size_t pick = random_() % choices;
      if (pick < can_start.size()) {
        const int t = can_start[pick];
        RETURN_IF_ERROR(Start(t));
        running.push_back(t);
        if (started_[t] == steps_) Remove(t, &waiting);
      } else {
        const int t = can_finish[pick - can_start.size()];
        RETURN_IF_ERROR(Finish(t));
        Remove(t, &running);
      }
    }
    return absl::OkStatus();
  }

 private:
  static void Remove(int t, std::vector<int>* list) {
    list->erase(std::find(list->begin(), list->end(), t));
  }

  // A collective ends when all members have begun it.
  bool MayFinish(int t) const {
    if (!plan_.tasks(t).has_collective()) return true;
    const Collective& c = plan_.tasks(t).collective();
    for (int m : members_.at({c.group(), c.sequence()})) {
      if (started_[m] < started_[t]) return false;
    }
    return true;
  }

  int64_t Address(int r, int64_t step) const {
    const Register& reg = plan_.registers(r);
    return reg.arena_offset() + step % reg.credits() * reg.slot_stride_bytes();
  }
  void Fill(int device, int64_t offset, int64_t size, Mark mark) {
    for (int64_t at = offset; at < offset + size; at += kChunk) {
      arenas_[device][at / kChunk] = mark;
    }
  }
  bool Holds(int device, int64_t offset, int64_t size, Mark mark) const {
    for (int64_t at = offset; at < offset + size; at += kChunk) {
      auto it = arenas_[device].find(at / kChunk);
      if (it == arenas_[device].end() || it->second != mark) return false;
    }
    return true;
  }
  void Write(int r, int64_t step) {
    const Register& reg = plan_.registers(r);
    Fill(reg.device(), Address(r, step), reg.size_bytes(), {r, step});
  }
  absl::Status Check(int t, int r, int64_t step, const char* when) const {
    const Register& reg = plan_.registers(r);
    const int64_t address =
        reg.persistent() ? reg.arena_offset() : Address(r, step);
    if (Holds(reg.device(), address, reg.size_bytes(), {r, step})) {
      return absl::OkStatus();
    }
    return absl::InternalError(
        absl::StrCat("task ", t, " ", plan_.tasks(t).name(), ": register ", r,
                     " ", reg.name(), " was overwritten (seen at its ", when,
                     ", step ", started_[t] - 1, ")"));
  }
  // The step whose value of the register this firing of the task reads.
  int64_t Version(int r, int64_t step) const {
    return plan_.registers(r).persistent() && !mutated_[r] ? 0 : step;
  }

  absl::Status Start(int t) {
    const Task& task = plan_.tasks(t);
    state_.Begin(t);
    const int64_t step = started_[t]++;
    for (int r : task.inputs()) {
      RETURN_IF_ERROR(Check(t, r, Version(r, step), "start"));
    }
    for (int o = 0; o < task.outputs_size(); ++o) {
      if (!IsInPlace(task, o)) Write(task.outputs(o), step);
    }
    Fill(task.device(), task.workspace_offset(), task.workspace_bytes(),
         {-1 - t, step});
    return absl::OkStatus();
  }

  absl::Status Finish(int t) {
    const Task& task = plan_.tasks(t);
    const int64_t step = started_[t] - 1;
    for (int r : task.inputs()) {
      RETURN_IF_ERROR(Check(t, r, Version(r, step), "end"));
    }
    for (int o = 0; o < task.outputs_size(); ++o) {
      if (!IsInPlace(task, o)) {
        RETURN_IF_ERROR(Check(t, task.outputs(o), step, "end"));
      }
    }
    if (!Holds(task.device(), task.workspace_offset(), task.workspace_bytes(),
               {-1 - t, step})) {
      return absl::InternalError(
          absl::StrCat("the workspace of ", task.name(), " was overwritten"));
    }
    for (int o = 0; o < task.outputs_size(); ++o) {
      if (IsInPlace(task, o)) Write(task.outputs(o), step);
    }
    for (int i : task.mutates()) {
      const int r = task.inputs(i);
      const Register& reg = plan_.registers(r);
      Fill(reg.device(), reg.arena_offset(), reg.size_bytes(),
           {r, ++updates_[r]});
    }
    ++finished_[t];
    for (int e : state_.out_edges(t)) state_.Arrive(e);
    return absl::OkStatus();
  }

  static bool IsInPlace(const Task& task, int output) {
    for (const InPlace& pair : task.in_place()) {
      if (pair.output() == output) return true;
    }
    return false;
  }

  const Plan& plan_;
  const int steps_;
  std::mt19937_64 random_;
  const std::vector<FiringEdge> edges_;
  FiringState state_;
  std::vector<absl::flat_hash_map<int64_t, Mark>> arenas_;  // By chunk.
  std::vector<int64_t> started_;
  std::vector<int64_t> finished_;
  std::vector<int64_t> updates_;  // By register.
  std::vector<bool> mutated_;     // By register.
  std::map<std::pair<int, int>, std::vector<int>> members_;
};

}  // namespace

absl::Status ExecuteRandomly(const Plan& plan, int steps, uint64_t seed) {
  return Execution(plan, steps, seed).Run();
}

}  // namespace facet::placement
