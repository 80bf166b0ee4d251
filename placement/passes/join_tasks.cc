#include "placement/passes/join_tasks.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace facet::placement {
namespace {

// The tasks of a node have one name.
using Name = std::pair<ops::NodeId, std::string>;

Name NameOf(const LocalTask& task) { return {task.node, task.name}; }

bool IsPlain(const LocalTask& task) {
  return !task.once && task.parts == 1 && task.mutates.empty() &&
         !task.origin.again;
}

bool FitTogether(const LocalTask& first, const LocalTask& second) {
  return IsPlain(first) && IsPlain(second) && first.device == second.device &&
         first.stream == second.stream && first.rank == second.rank &&
         first.num_ranks == second.num_ranks &&
         first.origin.phase == second.origin.phase &&
         first.origin.every == second.origin.every;
}

LocalTask Joined(const LocalTask& first, const LocalTask& second,
                 const ops::OpDef& def) {
  LocalTask joined = first;
  joined.op = def.name;
  for (const auto& [name, value] : second.attributes.values()) {
    joined.attributes.Set(name, value);
  }
  joined.inputs.insert(joined.inputs.end(), second.inputs.begin() + 1,
                       second.inputs.end());
  if (!def.joins.keeps_between) joined.outputs.clear();
  joined.outputs.insert(joined.outputs.end(), second.outputs.begin(),
                        second.outputs.end());
  joined.in_place = def.in_place;
  return joined;
}

class Finder {
 public:
  Finder(const TaskGraph& graph, absl::Span<const ops::OpDef> ops)
      : graph_(graph),
        producer_(graph.registers.size(), -1),
        num_readers_(graph.registers.size(), 0) {
    for (const ops::OpDef& def : ops) {
      if (def.joins.first.empty()) continue;
      joining_.emplace(std::make_pair(def.joins.first, def.joins.second), &def);
    }
    for (size_t t = 0; t < graph.tasks.size(); ++t) {
      const LocalTask& task = graph.tasks[t];
      ++num_tasks_[NameOf(task)];
      if (task.origin.again) again_.insert(task.name);
      if (!task.outputs.empty()) {
        producer_[task.outputs[0]] = static_cast<int>(t);
      }
      for (int r : task.inputs) ++num_readers_[r];
    }
  }

  std::vector<JoinableNodes> Run() const {
    std::map<Name, JoinableNodes> found;  // By the first one.
    std::vector<bool> taken(graph_.tasks.size(), false);
    for (size_t t = 0; t < graph_.tasks.size(); ++t) {
      const int second = static_cast<int>(t);
      const int first = ProducerOfFirstInput(second);
      if (first < 0 || taken[first]) continue;
      const ops::OpDef* def = DefOf(first, second);
      if (def == nullptr) continue;
      taken[first] = true;
      JoinableNodes& nodes = found[NameOf(graph_.tasks[first])];
      nodes.first.push_back(first);
      nodes.second.push_back(second);
      nodes.joined.push_back(
          Joined(graph_.tasks[first], graph_.tasks[second], *def));
      nodes.keeps_between = def->joins.keeps_between;
    }
    std::vector<JoinableNodes> complete;
    for (auto& [name, nodes] : found) {
      if (AreOneNode(nodes.first) && AreOneNode(nodes.second)) {
        complete.push_back(std::move(nodes));
      }
    }
    std::sort(complete.begin(), complete.end(),
              [](const JoinableNodes& a, const JoinableNodes& b) {
                return a.first < b.first;
              });
    return complete;
  }

 private:
  int ProducerOfFirstInput(int task) const {
    const std::vector<int>& inputs = graph_.tasks[task].inputs;
    return inputs.empty() ? -1 : producer_[inputs[0]];
  }

  // What joins them; null: nothing.
  const ops::OpDef* DefOf(int first_index, int second_index) const {
    const LocalTask& first = graph_.tasks[first_index];
    const LocalTask& second = graph_.tasks[second_index];
    const auto found = joining_.find({first.op, second.op});
    if (found == joining_.end() || !FitTogether(first, second) ||
        again_.count(absl::StrCat(first.name, "/again")) > 0) {
      return nullptr;
    }
    const ops::OpDef* def = found->second;
    if (def->joins.keeps_between) {
      CHECK_EQ(second.inputs.size(), 1u) << def->name;
      return def;
    }
    // The first one's work moves to the place of the second.
    const bool only_reader = num_readers_[first.outputs[0]] == 1;
    return only_reader && !AreWritten(first.inputs, first_index, second_index)
               ? def
               : nullptr;
  }

  // Whether one of the registers is between these tasks.
  bool AreWritten(const std::vector<int>& registers, int after,
                  int before) const {
    for (int t = after + 1; t < before; ++t) {
      const LocalTask& task = graph_.tasks[t];
      for (int m : task.mutates) {
        const int r = task.inputs[m];
        if (std::count(registers.begin(), registers.end(), r) > 0) return true;
      }
    }
    return false;
  }

  // All tasks of one node, that is.
  bool AreOneNode(const std::vector<int>& tasks) const {
    const Name name = NameOf(graph_.tasks[tasks[0]]);
    for (int t : tasks) {
      if (NameOf(graph_.tasks[t]) != name) return false;
    }
    return num_tasks_.at(name) == static_cast<int>(tasks.size());
  }

  const TaskGraph& graph_;
  std::map<std::pair<std::string, std::string>, const ops::OpDef*> joining_;
  std::vector<int> producer_;  // By register that is a first output; -1: none.
  std::vector<int> num_readers_;
  std::map<Name, int> num_tasks_;
  std::set<std::string> again_;  // Names.
};

// The graph without registers of no task.
void RemoveRegisters(const std::vector<bool>& gone, TaskGraph* graph) {
  std::vector<int> new_index(gone.size(), -1);
  std::vector<LocalRegister> left;
  for (size_t r = 0; r < gone.size(); ++r) {
    if (gone[r]) continue;
    new_index[r] = static_cast<int>(left.size());
    left.push_back(std::move(graph->registers[r]));
  }
  graph->registers = std::move(left);
  for (LocalTask& task : graph->tasks) {
    for (std::vector<int>* list : {&task.inputs, &task.outputs}) {
      for (int& r : *list) r = new_index[r];
    }
  }
}

}  // namespace

std::vector<JoinableNodes> FindJoinable(const TaskGraph& graph,
                                        absl::Span<const ops::OpDef> ops) {
  return Finder(graph, ops).Run();
}

TaskGraph JoinTasks(TaskGraph graph, std::vector<JoinableNodes> nodes) {
  std::vector<bool> task_is_gone(graph.tasks.size(), false);
  std::vector<bool> register_is_gone(graph.registers.size(), false);
  for (JoinableNodes& pair : nodes) {
    for (size_t i = 0; i < pair.first.size(); ++i) {
      int place = pair.first[i], other = pair.second[i];
      if (!pair.keeps_between) {
        register_is_gone[graph.tasks[place].outputs[0]] = true;
        std::swap(place, other);
      }
      graph.tasks[place] = std::move(pair.joined[i]);
      task_is_gone[other] = true;
    }
  }
  std::vector<LocalTask> left;
  for (size_t t = 0; t < graph.tasks.size(); ++t) {
    if (!task_is_gone[t]) left.push_back(std::move(graph.tasks[t]));
  }
  graph.tasks = std::move(left);
  RemoveRegisters(register_is_gone, &graph);
  return graph;
}

}  // namespace facet::placement
