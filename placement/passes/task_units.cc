#include "placement/passes/task_units.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"

namespace facet::placement {

std::vector<TaskUnit> FindTaskUnits(const TaskGraph& graph) {
  std::vector<TaskUnit> units;
  absl::flat_hash_map<absl::string_view, int> by_name;
  std::vector<int> unit_of(graph.tasks.size());
  for (size_t t = 0; t < graph.tasks.size(); ++t) {
    const LocalTask& task = graph.tasks[t];
    auto [it, is_new] = by_name.emplace(task.name, units.size());
    if (is_new) units.emplace_back();
    unit_of[t] = it->second;
    TaskUnit& unit = units[it->second];
    unit.tasks.push_back(static_cast<int>(t));
    unit.once = task.once;
    unit.stream = task.stream;
    unit.seconds = std::max(unit.seconds, task.predicted_seconds);
    if (task.device == 0) {
      CHECK_EQ(unit.first, -1) << "two tasks named " << task.name;
      unit.first = static_cast<int>(t);
    }
  }
  const size_t num_registers = graph.registers.size();
  std::vector<int> producer(num_registers, -1);
  std::vector<int> mutator(num_registers, -1);
  for (size_t t = 0; t < graph.tasks.size(); ++t) {
    const LocalTask& task = graph.tasks[t];
    for (int r : task.outputs) producer[r] = unit_of[t];
    for (int i : task.mutates) mutator[task.inputs[i]] = unit_of[t];
  }
  for (size_t t = 0; t < graph.tasks.size(); ++t) {
    const int unit = unit_of[t];
    for (int r : graph.tasks[t].inputs) {
      if (producer[r] >= 0 && producer[r] != unit) {
        units[producer[r]].next.push_back(unit);
      }
      if (mutator[r] >= 0 && mutator[r] != unit) {
        units[unit].next.push_back(mutator[r]);
      }
    }
  }
  for (TaskUnit& unit : units) {
    std::sort(unit.next.begin(), unit.next.end());
    unit.next.erase(std::unique(unit.next.begin(), unit.next.end()),
                    unit.next.end());
    for (int n : unit.next) ++units[n].num_previous;
  }
  return units;
}

void MarkAfter(const std::vector<TaskUnit>& units, int unit,
               std::vector<bool>* after) {
  std::vector<int> stack = units[unit].next;
  while (!stack.empty()) {
    const int next = stack.back();
    stack.pop_back();
    if ((*after)[next]) continue;
    (*after)[next] = true;
    stack.insert(stack.end(), units[next].next.begin(), units[next].next.end());
  }
}

TaskGraph JoinUnits(
    TaskGraph graph, const std::vector<TaskUnit>& units,
    const std::vector<std::vector<int>>& lists,
    const std::function<LocalTask(const std::vector<const LocalTask*>& members,
                                  size_t list)>& join) {
  std::vector<LocalTask> joined;
  std::vector<bool> is_member(graph.tasks.size(), false);
  for (size_t l = 0; l < lists.size(); ++l) {
    // The tasks of each unit are of the same devices, in the same order.
    for (size_t i = 0; i < units[lists[l].front()].tasks.size(); ++i) {
      std::vector<const LocalTask*> members;
      for (int u : lists[l]) {
        members.push_back(&graph.tasks[units[u].tasks[i]]);
        is_member[units[u].tasks[i]] = true;
      }
      joined.push_back(join(members, l));
    }
  }
  std::vector<LocalTask> tasks;
  tasks.reserve(graph.tasks.size());
  for (size_t t = 0; t < graph.tasks.size(); ++t) {
    if (!is_member[t]) tasks.push_back(std::move(graph.tasks[t]));
  }
  std::move(joined.begin(), joined.end(), std::back_inserter(tasks));
  graph.tasks = std::move(tasks);
  return graph;
}

}  // namespace facet::placement
