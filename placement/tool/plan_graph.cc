#include "placement/tool/plan_graph.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "ops/op_table.h"
#include "placement/tool/fold.h"
#include "placement/tool/plan_facts.h"

namespace facet::placement {
namespace {

bool IsDrawn(const Task& task, bool backward) {
  if (task.once()) return false;
  if (!backward && task.phase() != "data" && task.phase() != "forward") {
    return false;
  }
  if (task.has_collective()) return true;
  const ops::OpDef* def = ops::FindOp(task.op());
  return def == nullptr || !def->physical;
}

// All that makes two tasks of repeated blocks the same. Their names' own part
// (after the layer's) is in it.
std::string Content(const Plan& plan, const Task& task) {
  std::string text = absl::StrCat(
      task.op(), "|", task.phase(), "|",
      task.has_collective() ? absl::StrCat(task.collective().kind(), " ",
                                           task.collective().transition(), " ",
                                           task.collective().bytes())
                            : "");
  for (int r : task.outputs()) {
    const Register& reg = plan.registers(r);
    absl::StrAppend(
        &text, "|", reg.dtype(), absl::StrJoin(reg.shape(), ","), "of",
        absl::StrJoin(reg.global_shape(), ","),
        reg.tensor() >= 0 ? SbpText(plan.tensors(reg.tensor())) : "");
  }
  return text;
}

// "layer3.4.conv1/conv2d_grad_input" -> "layer3.1-13.conv1/conv2d_grad_input".
std::string FoldedTaskName(const std::string& name, const FoldedBlock& block) {
  const size_t slash = name.find('/');
  return FoldedName(name.substr(0, slash), block) +
         (slash == std::string::npos ? "" : name.substr(slash));
}

// Of a task, or of its layer: without the block's name.
std::string ShortName(const std::string& name, const Task& task) {
  const BlockName parsed = ParseBlockName(name.substr(0, name.find('/')));
  if (parsed.index < 0) return name;
  return parsed.rest.empty() ? task.op() : parsed.rest;
}

// The drawn tasks whose results a task reads, through those not drawn.
class Sources {
 public:
  Sources(const Plan& plan, const std::vector<int>& node_of_task)
      : plan_(plan), node_of_task_(node_of_task) {
    producer_.assign(plan.registers_size(), -1);
    for (int t = 0; t < plan.tasks_size(); ++t) {
      for (int r : plan.tasks(t).outputs()) producer_[r] = t;
    }
  }

  // (task, register) pairs.
  std::set<std::pair<int, int>> Of(int task) const {
    std::set<std::pair<int, int>> found;
    std::set<int> seen;
    Collect(task, &seen, &found);
    return found;
  }

 private:
  void Collect(int task, std::set<int>* seen,
               std::set<std::pair<int, int>>* found) const {
    for (int r : plan_.tasks(task).inputs()) {
      const int from = producer_[r];
      if (from < 0 || plan_.tasks(from).once()) continue;
      if (node_of_task_[from] >= 0) {
        found->insert({from, r});
      } else if (seen->insert(from).second) {
        Collect(from, seen, found);
      }
    }
  }

  const Plan& plan_;
  const std::vector<int>& node_of_task_;
  std::vector<int> producer_;  // By register.
};

// Nodes of a layer and phase as one: the one that is called like the layer, or
// takes longest, speaks for the others.
void MergeLayers(const Plan& plan, PlanGraph* graph) {
  using Key = std::pair<std::string, std::string>;
  auto key_of = [&](const GraphNode& node) -> Key {
    const Task& task = plan.tasks(node.task);
    return {task.layer(), task.phase()};
  };
  std::set<Key> with_collectives;
  for (const GraphNode& node : graph->nodes) {
    if (plan.tasks(node.task).has_collective()) {
      with_collectives.insert(key_of(node));
    }
  }
  auto weight = [&](const GraphNode& node) {
    const Task& task = plan.tasks(node.task);
    return std::make_pair(task.name() == task.layer(),
                          task.predicted_seconds());
  };
  std::map<Key, int> speaker;
  std::vector<int> speaks_for(graph->nodes.size());
  for (size_t n = 0; n < graph->nodes.size(); ++n) {
    speaks_for[n] = static_cast<int>(n);
    const Key key = key_of(graph->nodes[n]);
    if (key.first.empty() || with_collectives.count(key) > 0) continue;
    const auto [it, is_new] = speaker.emplace(key, static_cast<int>(n));
    if (weight(graph->nodes[it->second]) < weight(graph->nodes[n])) {
      it->second = static_cast<int>(n);
    }
  }
  for (size_t n = 0; n < graph->nodes.size(); ++n) {
    const auto it = speaker.find(key_of(graph->nodes[n]));
    if (it != speaker.end()) speaks_for[n] = it->second;
  }
  std::vector<int> index(graph->nodes.size(), -1);
  std::vector<GraphNode> nodes;
  for (size_t n = 0; n < graph->nodes.size(); ++n) {
    if (speaks_for[n] != static_cast<int>(n)) continue;
    index[n] = static_cast<int>(nodes.size());
    nodes.push_back(graph->nodes[n]);
    nodes.back().tasks.clear();
  }
  for (size_t n = 0; n < graph->nodes.size(); ++n) {
    index[n] = index[speaks_for[n]];
    GraphNode& node = nodes[index[n]];
    node.tasks.push_back(graph->nodes[n].task);
    if (node.tasks.size() < 2) continue;
    const Task& task = plan.tasks(node.task);
    node.name = node.name.substr(0, node.name.find('/'));
    node.short_name = ShortName(task.layer(), task);
  }
  graph->nodes = std::move(nodes);
  for (int& node : graph->node_of_task) {
    if (node >= 0) node = index[node];
  }
}

// Puts the nodes into blocks, in the order of the plan.
class Blocks {
 public:
  explicit Blocks(PlanGraph* graph) : graph_(graph) {}

  // `name`: of the block that the node belongs to; "": none.
  int Of(const std::string& name, int times, const Task& task, bool phases) {
    std::string title = name.empty() ? task.part() : name;
    if (phases) absl::StrAppend(&title, " ", task.phase());
    if (!name.empty()) {
      const auto [it, is_new] = known_.emplace(title, graph_->blocks.size());
      if (is_new) graph_->blocks.push_back({title, times});
      last_.clear();
      return it->second;
    }
    // What lies before the blocks is not what lies behind them.
    if (last_ != title) {
      last_ = title;
      graph_->blocks.push_back({title, 1});
    }
    return static_cast<int>(graph_->blocks.size()) - 1;
  }

 private:
  PlanGraph* graph_;
  std::map<std::string, int> known_;
  std::string last_;
};

}  // namespace

PlanGraph MakePlanGraph(const Plan& plan, const PlanGraphOptions& options) {
  PlanGraph graph;
  graph.node_of_task.assign(plan.tasks_size(), -1);
  std::vector<int> drawn;
  std::vector<FoldRow> rows;
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    if (task.device() != 0 || !IsDrawn(task, options.backward)) continue;
    drawn.push_back(t);
    // By name, not by layer: "layer3.4" and what is within it are one block.
    rows.push_back({task.name(), Content(plan, task)});
  }
  std::vector<FoldedBlock> folded;
  if (options.unfold) {
    for (size_t i = 0; i < rows.size(); ++i) {
      folded.push_back({static_cast<int>(i), 1, 1, -1, -1});
    }
  } else {
    folded = Fold(rows);
  }
  Blocks blocks(&graph);
  for (const FoldedBlock& block : folded) {
    const int first_node = static_cast<int>(graph.nodes.size());
    for (int i = 0; i < block.count; ++i) {
      const int t = drawn[block.first + i];
      const Task& task = plan.tasks(t);
      const BlockName name = ParseBlockName(task.layer());
      const bool is_block = name.index >= 0;
      graph.nodes.push_back(
          {t,
           {t},
           FoldedTaskName(task.name(), block),
           ShortName(task.name(), task),
           blocks.Of(
               is_block ? FoldedName(absl::StrCat(name.prefix, ".", name.index),
                                     block)
                        : "",
               block.times, task, options.backward)});
    }
    for (int i = 0; i < block.count * block.times; ++i) {
      graph.node_of_task[drawn[block.first + i]] = first_node + i % block.count;
    }
  }
  if (options.merge_layers) MergeLayers(plan, &graph);

  const Sources sources(plan, graph.node_of_task);
  std::set<std::pair<int, int>> known;
  for (int t : drawn) {
    const int to = graph.node_of_task[t];
    for (const auto& [source, reg] : sources.Of(t)) {
      const int from = graph.node_of_task[source];
      // From one repetition to the next: said by "x13".
      if (from >= to || !known.insert({from, to}).second) continue;
      graph.edges.push_back({from, to, reg});
    }
  }
  // The other devices' tasks, by name.
  std::map<std::string, int> node_of_name;
  for (int t : drawn) {
    node_of_name.emplace(plan.tasks(t).name(), graph.node_of_task[t]);
  }
  for (int t = 0; t < plan.tasks_size(); ++t) {
    if (plan.tasks(t).once()) continue;
    const auto it = node_of_name.find(plan.tasks(t).name());
    if (it != node_of_name.end()) graph.node_of_task[t] = it->second;
  }
  return graph;
}

}  // namespace facet::placement
