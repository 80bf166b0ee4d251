#include "placement/passes/group_tasks.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "placement/plan/task_parts.h"

namespace facet::placement {
namespace {

constexpr int64_t kSmallBytes = int64_t{1} << 16;

// What the members of a group have in common; empty: it may not be in one.
std::string KeyOf(const TaskGraph& graph, const TaskUnit& unit,
                  ops::OpLookup lookup) {
  std::string key;
  for (int t : unit.tasks) {
    const LocalTask& task = graph.tasks[t];
    if (task.op.empty() || task.once) return "";
    const ops::OpDef* def = lookup(task.op);
    CHECK(def != nullptr) << task.op;
    if (!def->may_group || !def->settle.op.empty()) return "";
    absl::StrAppend(&key, task.device, "|", task.op, "|", task.rank, "/",
                    task.num_ranks, "|", static_cast<int>(task.stream), "|",
                    static_cast<int>(task.origin.phase), "|", task.origin.part,
                    "|", task.origin.every, "|", task.origin.again);
    for (const auto& [name, value] : task.attributes.values()) {
      absl::StrAppend(&key, "|", name, "=", ops::AttributeToString(value));
    }
    for (const auto* registers : {&task.inputs, &task.outputs}) {
      absl::StrAppend(&key, "#");
      for (int r : *registers) {
        absl::StrAppend(&key, static_cast<int>(graph.registers[r].slice.dtype),
                        ",");
      }
    }
    absl::StrAppend(&key, ";");
  }
  return key;
}

// By register, the last two units that read it.
struct Readers {
  int last = -1;
  int before = -1;

  void Add(int unit) {
    if (unit == last) return;
    before = last;
    last = unit;
  }
  int LastBut(int unit) const { return last == unit ? before : last; }
};

class GroupFinder {
 public:
  GroupFinder(const TaskGraph& graph, const std::vector<TaskUnit>& units,
              int64_t small_bytes)
      : graph_(graph),
        units_(units),
        small_bytes_(small_bytes),
        ready_(units.size(), -1),
        readers_(graph.registers.size()) {
    for (size_t u = 0; u < units.size(); ++u) {
      const int unit = static_cast<int>(u);
      for (int next : units[u].next)
        ready_[next] = std::max(ready_[next], unit);
      for (int t : units[u].tasks) {
        for (int r : graph.tasks[t].inputs) readers_[r].Add(unit);
      }
    }
  }

  // Of candidates with one key, in the order of the graph.
  std::vector<std::vector<int>> Groups(std::vector<int> candidates) const {
    std::vector<std::vector<int>> groups;
    RemoveCostly(&candidates);
    while (candidates.size() > 1) {
      std::vector<int> group, rest;
      std::vector<bool> after(units_.size(), false);
      for (int unit : candidates) {
        if (after[unit]) {
          rest.push_back(unit);
          continue;
        }
        group.push_back(unit);
        MarkAfter(units_, unit, &after);
      }
      if (group.size() > 1) groups.push_back(std::move(group));
      candidates = std::move(rest);
    }
    return groups;
  }

 private:
  // Those that waiting for the last would cost something.
  void RemoveCostly(std::vector<int>* candidates) const {
    candidates->erase(std::remove_if(candidates->begin(), candidates->end(),
                                     [&](int u) { return SendsResult(u); }),
                      candidates->end());
    int last = -1;
    for (int unit : *candidates) last = std::max(last, ready_[unit]);
    candidates->erase(
        std::remove_if(candidates->begin(), candidates->end(),
                       [&](int u) { return HoldsMemoryUntil(u, last); }),
        candidates->end());
  }

  bool SendsResult(int unit) const {
    return std::any_of(
        units_[unit].next.begin(), units_[unit].next.end(), [&](int next) {
          return units_[next].stream == ops::StreamKind::kCommunication;
        });
  }

  // Would a large input live longer if the unit ran after `last`?
  bool HoldsMemoryUntil(int unit, int last) const {
    if (ready_[unit] >= last) return false;
    for (int t : units_[unit].tasks) {
      for (int r : graph_.tasks[t].inputs) {
        const LocalRegister& reg = graph_.registers[r];
        if (reg.persistent || reg.slice.size_bytes() <= small_bytes_) continue;
        if (readers_[r].LastBut(unit) < last) return true;
      }
    }
    return false;
  }

  const TaskGraph& graph_;
  const std::vector<TaskUnit>& units_;
  const int64_t small_bytes_;
  std::vector<int> ready_;  // By unit: the last one it waits for; -1: none.
  std::vector<Readers> readers_;
};

bool HasCycle(const std::vector<TaskUnit>& units,
              const std::vector<std::vector<int>>& groups) {
  std::vector<int> joined(units.size());
  for (size_t u = 0; u < units.size(); ++u) joined[u] = static_cast<int>(u);
  for (const std::vector<int>& group : groups) {
    for (int u : group) joined[u] = group.front();
  }
  std::vector<std::vector<int>> next(units.size());
  std::vector<int> missing(units.size(), 0);
  for (size_t u = 0; u < units.size(); ++u) {
    for (int n : units[u].next) {
      if (joined[u] == joined[n]) return true;
      next[joined[u]].push_back(joined[n]);
      ++missing[joined[n]];
    }
  }
  std::vector<int> free;
  size_t done = 0;
  for (size_t u = 0; u < units.size(); ++u) {
    if (missing[u] == 0) free.push_back(static_cast<int>(u));
  }
  while (!free.empty()) {
    const int u = free.back();
    free.pop_back();
    ++done;
    for (int n : next[u]) {
      if (--missing[n] == 0) free.push_back(n);
    }
  }
  return done < units.size();
}

LocalTask JoinTasks(const std::vector<const LocalTask*>& members,
                    const std::string& name, double launch_seconds) {
  LocalTask task = *members.front();
  task.name = name;
  task.origin.layer = "group";
  task.parts = static_cast<int>(members.size());
  task.inputs.clear();
  task.outputs.clear();
  task.mutates.clear();
  task.in_place.clear();  // Parts may run at the same time.
  task.workspace_bytes = 0;
  task.predicted_seconds = launch_seconds;
  for (const LocalTask* member : members) {
    const int first_input = static_cast<int>(task.inputs.size());
    for (int i : member->mutates) task.mutates.push_back(first_input + i);
    task.inputs.insert(task.inputs.end(), member->inputs.begin(),
                       member->inputs.end());
    task.outputs.insert(task.outputs.end(), member->outputs.begin(),
                        member->outputs.end());
    task.workspace_bytes += PartWorkspaceBytes(member->workspace_bytes);
    task.predicted_seconds +=
        std::max(0.0, member->predicted_seconds - launch_seconds);
  }
  return task;
}

}  // namespace

std::vector<std::vector<int>> FindGroups(const TaskGraph& graph,
                                         const std::vector<TaskUnit>& units,
                                         int64_t small_bytes,
                                         ops::OpLookup lookup) {
  std::map<std::string, std::vector<int>> by_key;
  for (size_t u = 0; u < units.size(); ++u) {
    const std::string key = KeyOf(graph, units[u], lookup);
    if (!key.empty()) by_key[key].push_back(static_cast<int>(u));
  }
  const GroupFinder finder(graph, units, small_bytes);
  std::vector<std::vector<int>> groups;
  for (auto& [key, candidates] : by_key) {
    for (std::vector<int>& group : finder.Groups(std::move(candidates))) {
      groups.push_back(std::move(group));
      // Two groups may each need a member of the other.
      if (HasCycle(units, groups)) groups.pop_back();
    }
  }
  std::sort(groups.begin(), groups.end());
  return groups;
}

TaskGraph GroupTasks(TaskGraph ordered, const Cluster& cluster,
                     ops::OpLookup lookup) {
  const std::vector<TaskUnit> units = FindTaskUnits(ordered);
  const std::vector<std::vector<int>> groups =
      FindGroups(ordered, units, kSmallBytes, lookup);
  if (groups.empty()) return ordered;
  return JoinUnits(
      std::move(ordered), units, groups,
      [&](const std::vector<const LocalTask*>& members, size_t group) {
        const LocalTask& first = *members.front();
        return JoinTasks(members, absl::StrCat("group", group, "/", first.op),
                         cluster.devices[first.device].launch_seconds);
      });
}

}  // namespace facet::placement
