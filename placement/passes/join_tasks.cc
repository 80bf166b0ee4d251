#include "placement/passes/join_tasks.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"

namespace facet::placement {
namespace {

// The tasks of a node have one name.
using NodeTasks = std::map<std::pair<ops::NodeId, std::string>, int>;

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
  joined.outputs.insert(joined.outputs.end(), second.outputs.begin(),
                        second.outputs.end());
  joined.in_place = def.in_place;
  return joined;
}

class Finder {
 public:
  Finder(const TaskGraph& graph, absl::Span<const ops::OpDef> ops)
      : graph_(graph), producer_(graph.registers.size(), -1) {
    for (const ops::OpDef& def : ops) {
      if (def.joins.empty()) continue;
      CHECK_EQ(def.joins.size(), 2u) << def.name;
      joining_.emplace(std::make_pair(def.joins[0], def.joins[1]), &def);
    }
    for (size_t t = 0; t < graph.tasks.size(); ++t) {
      const LocalTask& task = graph.tasks[t];
      ++num_tasks_[{task.node, task.name}];
      if (task.origin.again) again_.insert(task.name);
      if (!task.outputs.empty()) {
        producer_[task.outputs[0]] = static_cast<int>(t);
      }
    }
  }

  std::vector<JoinableNodes> Run() const {
    if (joining_.empty()) return {};
    // By the first one.
    std::map<std::pair<ops::NodeId, std::string>, JoinableNodes> found;
    std::vector<bool> taken(graph_.tasks.size(), false);
    for (size_t t = 0; t < graph_.tasks.size(); ++t) {
      const LocalTask& second = graph_.tasks[t];
      const int producer =
          second.inputs.size() == 1 ? producer_[second.inputs[0]] : -1;
      if (producer < 0 || taken[producer]) continue;
      const LocalTask& first = graph_.tasks[producer];
      const auto def = joining_.find({first.op, second.op});
      if (def == joining_.end() || !FitTogether(first, second) ||
          again_.count(absl::StrCat(first.name, "/again")) > 0) {
        continue;
      }
      taken[producer] = true;
      JoinableNodes& nodes = found[{first.node, first.name}];
      nodes.first.push_back(producer);
      nodes.second.push_back(static_cast<int>(t));
      nodes.joined.push_back(Joined(first, second, *def->second));
    }
    std::vector<JoinableNodes> complete;
    for (auto& [name, nodes] : found) {
      if (AllTasksOfOneNode(nodes.first) && AllTasksOfOneNode(nodes.second)) {
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
  bool AllTasksOfOneNode(const std::vector<int>& tasks) const {
    const LocalTask& any = graph_.tasks[tasks[0]];
    for (int t : tasks) {
      const LocalTask& task = graph_.tasks[t];
      if (task.node != any.node || task.name != any.name) return false;
    }
    return num_tasks_.at({any.node, any.name}) ==
           static_cast<int>(tasks.size());
  }

  const TaskGraph& graph_;
  std::map<std::pair<std::string, std::string>, const ops::OpDef*> joining_;
  std::vector<int> producer_;  // By register that is a first output; -1: none.
  NodeTasks num_tasks_;
  std::set<std::string> again_;  // Names.
};

}  // namespace

std::vector<JoinableNodes> FindJoinable(const TaskGraph& graph,
                                        absl::Span<const ops::OpDef> ops) {
  return Finder(graph, ops).Run();
}

TaskGraph JoinTasks(TaskGraph graph, std::vector<JoinableNodes> nodes) {
  std::vector<bool> gone(graph.tasks.size(), false);
  for (JoinableNodes& pair : nodes) {
    for (size_t i = 0; i < pair.first.size(); ++i) {
      graph.tasks[pair.first[i]] = std::move(pair.joined[i]);
      gone[pair.second[i]] = true;
    }
  }
  std::vector<LocalTask> left;
  for (size_t t = 0; t < graph.tasks.size(); ++t) {
    if (!gone[t]) left.push_back(std::move(graph.tasks[t]));
  }
  graph.tasks = std::move(left);
  return graph;
}

}  // namespace facet::placement
