#include "placement/passes/task_units.h"

#include <algorithm>

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

}  // namespace facet::placement
