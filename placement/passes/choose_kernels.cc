#include "placement/passes/choose_kernels.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"
#include "placement/cost/op_cost.h"
#include "placement/kernel_spec_text.h"
#include "placement/kernel_timer.h"
#include "placement/passes/join_tasks.h"

namespace facet::placement {
namespace {

// A share as if it were the whole.
void ForgetRest(ops::KernelSpec* spec) {
  spec->rank = 0;
  spec->num_ranks = 1;
  for (auto* slices : {&spec->inputs, &spec->outputs}) {
    for (ops::TensorSlice& slice : *slices) {
      slice.global_shape = slice.shape;
      slice.offset =
          ops::Shape(std::vector<int64_t>(slice.shape.dims().size(), 0));
    }
  }
}

bool HasAll(const ops::Attributes& attributes, const ops::Attributes& wanted) {
  const auto& values = attributes.values();
  for (const auto& [name, value] : wanted.values()) {
    const auto it = values.find(name);
    if (it == values.end() || it->second != value) return false;
  }
  return true;
}

class Chooser {
 public:
  Chooser(TaskGraph graph, const Cluster& cluster,
          const ops::Attributes& preferred, absl::Span<const ops::OpDef> ops,
          ops::OpLookup lookup)
      : graph_(std::move(graph)),
        cluster_(cluster),
        preferred_(preferred),
        ops_(ops),
        lookup_(lookup) {}

  absl::StatusOr<TaskGraph> Run();

 private:
  // The shares of a node: its tasks on all devices.
  struct Shares {
    std::vector<LocalTask*> tasks;
    std::vector<int> choice_of_task;      // Indices into choices_.
    std::vector<int> choices;             // The same, each once.
    std::vector<ops::Attributes> common;  // What all of them could take.
    bool is_timed = false;  // Even if there is nothing to choose from.
    double seconds = 0;     // Of the slowest; what Choose found. 0: not asked.
  };
  // A candidate and places in the list of all shares.
  struct Joint {
    const JoinableNodes* nodes;
    size_t first, second, joined;
  };

  ops::KernelSpec SpecOf(const LocalTask& task) const;
  absl::StatusOr<const ops::KernelDef*> KernelOf(const LocalTask& task) const;
  double LocalSeconds(const LocalTask& task) const;
  // Index of the task's choice.
  int ChoiceOf(const LocalTask& task, const ops::KernelDef& kernel);
  std::vector<ops::Attributes> Common(const Shares& shares) const;
  absl::StatusOr<Shares> SharesOf(std::vector<LocalTask*> tasks);
  // All nodes with something to choose from, and what joining is about: adds
  // the shares of candidates, and of those that they would replace.
  absl::StatusOr<std::vector<Shares>> FindShares(
      std::vector<JoinableNodes>* candidates, std::vector<Joint>* joints);
  // By choice and alternative; empty for those that nobody has to know.
  std::vector<std::vector<double>> Seconds(
      const std::vector<Shares>& all_shares) const;
  // Fills in what the shares take.
  void ChooseFor(const std::vector<std::vector<double>>& seconds,
                 Shares* shares) const;
  absl::Status Choose();
  absl::Status FillIn(LocalTask* task);

  TaskGraph graph_;
  const Cluster& cluster_;
  const ops::Attributes& preferred_;
  const absl::Span<const ops::OpDef> ops_;
  const ops::OpLookup lookup_;
  std::vector<KernelChoice> choices_;
  std::map<std::string, int> choice_index_;         // By device and spec.
  std::map<std::string, int64_t> workspace_bytes_;  // By KernelSpecText.
};

ops::KernelSpec Chooser::SpecOf(const LocalTask& task) const {
  ops::KernelSpec spec;
  spec.attributes = task.attributes;
  for (int r : task.inputs) spec.inputs.push_back(graph_.registers[r].slice);
  for (int r : task.outputs) spec.outputs.push_back(graph_.registers[r].slice);
  spec.rank = task.rank;
  spec.num_ranks = task.num_ranks;
  return spec;
}

absl::StatusOr<const ops::KernelDef*> Chooser::KernelOf(
    const LocalTask& task) const {
  const ops::KernelDef* kernel = cluster_.kernels->find(task.op);
  if (kernel != nullptr) return kernel;
  return absl::UnimplementedError(
      absl::StrCat(task.name, ": devices of kind ",
                   std::string(cluster_.kernels->device_kind),
                   " have no kernel for op ", task.op));
}

double Chooser::LocalSeconds(const LocalTask& task) const {
  std::vector<ops::TensorType> inputs;
  std::vector<ops::TensorType> outputs;
  for (int r : task.inputs) {
    const ops::TensorSlice& slice = graph_.registers[r].slice;
    inputs.push_back({slice.dtype, slice.shape});
  }
  for (int r : task.outputs) {
    const ops::TensorSlice& slice = graph_.registers[r].slice;
    outputs.push_back({slice.dtype, slice.shape});
  }
  const ops::OpDef* def = lookup_(task.op);
  CHECK(def != nullptr) << task.op;
  return LocalOpSeconds(*def, {task.attributes, inputs, outputs},
                        cluster_.devices[task.device]);
}

int Chooser::ChoiceOf(const LocalTask& task, const ops::KernelDef& kernel) {
  const DeviceSpec& device = cluster_.devices[task.device];
  KernelChoice choice;
  choice.device_kind = device.kind;
  choice.cores = device.cores;
  choice.op = task.op;
  choice.spec = SpecOf(task);
  ForgetRest(&choice.spec);
  const auto [it, is_new] =
      choice_index_.emplace(absl::StrCat(device.kind, " ", device.cores, " ",
                                         KernelSpecText(task.op, choice.spec)),
                            static_cast<int>(choices_.size()));
  if (is_new) {
    choice.alternatives =
        kernel.alternatives == nullptr
            ? std::vector<ops::Attributes>{choice.spec.attributes}
            : kernel.alternatives(choice.spec);
    CHECK(!choice.alternatives.empty()) << task.name;
    choices_.push_back(std::move(choice));
  }
  return it->second;
}

std::vector<ops::Attributes> Chooser::Common(const Shares& shares) const {
  std::vector<ops::Attributes> common;
  for (const ops::Attributes& one : choices_[shares.choices[0]].alternatives) {
    const bool in_all =
        std::all_of(shares.choices.begin(), shares.choices.end(), [&](int c) {
          const auto& all = choices_[c].alternatives;
          return std::find(all.begin(), all.end(), one) != all.end();
        });
    if (in_all) common.push_back(one);
  }
  CHECK(!common.empty()) << shares.tasks[0]->name;
  std::vector<ops::Attributes> wanted;
  for (const ops::Attributes& one : common) {
    if (HasAll(one, preferred_)) wanted.push_back(one);
  }
  return wanted.empty() ? common : wanted;
}

std::vector<std::vector<double>> Chooser::Seconds(
    const std::vector<Shares>& all_shares) const {
  std::vector<std::vector<double>> seconds(choices_.size());
  if (cluster_.kernel_timer == nullptr) return seconds;
  std::vector<bool> is_open(choices_.size(), false);
  for (const Shares& shares : all_shares) {
    if (shares.common.size() < 2 && !shares.is_timed) continue;
    for (int c : shares.choices) is_open[c] = true;
  }
  std::vector<KernelChoice> asked;
  for (size_t c = 0; c < choices_.size(); ++c) {
    if (is_open[c]) asked.push_back(choices_[c]);
  }
  if (asked.empty()) return seconds;
  std::vector<std::vector<double>> answers =
      cluster_.kernel_timer->Seconds(asked);
  CHECK_EQ(answers.size(), asked.size());
  size_t next = 0;
  for (size_t c = 0; c < choices_.size(); ++c) {
    if (!is_open[c]) continue;
    seconds[c] = std::move(answers[next++]);
    CHECK_EQ(seconds[c].size(), choices_[c].alternatives.size());
  }
  return seconds;
}

absl::StatusOr<Chooser::Shares> Chooser::SharesOf(
    std::vector<LocalTask*> tasks) {
  Shares shares;
  shares.tasks = std::move(tasks);
  for (const LocalTask* task : shares.tasks) {
    ASSIGN_OR_RETURN(const ops::KernelDef* kernel, KernelOf(*task));
    const int choice = ChoiceOf(*task, *kernel);
    shares.choice_of_task.push_back(choice);
    if (std::find(shares.choices.begin(), shares.choices.end(), choice) ==
        shares.choices.end()) {
      shares.choices.push_back(choice);
    }
  }
  shares.common = Common(shares);
  return shares;
}

absl::StatusOr<std::vector<Chooser::Shares>> Chooser::FindShares(
    std::vector<JoinableNodes>* candidates, std::vector<Joint>* joints) {
  using Name = std::pair<ops::NodeId, std::string>;
  std::map<Name, size_t> index;
  std::vector<std::vector<LocalTask*>> nodes;
  for (LocalTask& task : graph_.tasks) {
    if (task.op.empty()) continue;
    ASSIGN_OR_RETURN(const ops::KernelDef* kernel, KernelOf(task));
    if (kernel->alternatives == nullptr) continue;
    const auto [it, is_new] =
        index.emplace(Name(task.node, task.name), nodes.size());
    if (is_new) nodes.emplace_back();
    nodes[it->second].push_back(&task);
  }
  std::vector<Shares> all_shares;
  for (std::vector<LocalTask*>& tasks : nodes) {
    ASSIGN_OR_RETURN(all_shares.emplace_back(), SharesOf(std::move(tasks)));
  }
  // Without a measurement nothing is joined.
  if (cluster_.kernel_timer == nullptr) return all_shares;
  auto shares_of =
      [&](const std::vector<int>& tasks) -> absl::StatusOr<size_t> {
    const LocalTask& any = graph_.tasks[tasks[0]];
    const auto known = index.find(Name(any.node, any.name));
    if (known != index.end()) return known->second;
    std::vector<LocalTask*> pointers;
    for (int t : tasks) pointers.push_back(&graph_.tasks[t]);
    ASSIGN_OR_RETURN(all_shares.emplace_back(), SharesOf(std::move(pointers)));
    return all_shares.size() - 1;
  };
  for (JoinableNodes& pair : *candidates) {
    const ops::KernelDef* kernel = cluster_.kernels->find(pair.joined[0].op);
    if (kernel == nullptr || kernel->alternatives == nullptr) continue;
    const ops::Attributes as_it_is = pair.joined[0].attributes;
    std::vector<LocalTask*> pointers;
    for (LocalTask& task : pair.joined) pointers.push_back(&task);
    ASSIGN_OR_RETURN(Shares joined, SharesOf(std::move(pointers)));
    joined.common.erase(
        std::remove(joined.common.begin(), joined.common.end(), as_it_is),
        joined.common.end());
    if (joined.common.empty()) continue;  // No kernel is made for it.
    Joint joint;
    joint.nodes = &pair;
    ASSIGN_OR_RETURN(joint.first, shares_of(pair.first));
    ASSIGN_OR_RETURN(joint.second, shares_of(pair.second));
    joint.joined = all_shares.size();
    all_shares.push_back(std::move(joined));
    for (size_t s : {joint.first, joint.second, joint.joined}) {
      all_shares[s].is_timed = true;
    }
    joints->push_back(joint);
  }
  return all_shares;
}

void Chooser::ChooseFor(const std::vector<std::vector<double>>& seconds,
                        Shares* shares) const {
  // 0: not asked.
  auto seconds_of = [&](int choice, const ops::Attributes& alternative) {
    if (seconds[choice].empty()) return 0.0;
    const auto& all = choices_[choice].alternatives;
    const auto at = std::find(all.begin(), all.end(), alternative);
    return seconds[choice][at - all.begin()];
  };
  auto slowest = [&](const ops::Attributes& alternative) {
    double most = 0;
    for (int c : shares->choices) {
      most = std::max(most, seconds_of(c, alternative));
    }
    return most;
  };
  size_t best = 0;
  for (size_t a = 1; a < shares->common.size(); ++a) {
    if (slowest(shares->common[a]) < slowest(shares->common[best])) best = a;
  }
  shares->seconds = slowest(shares->common[best]);
  for (size_t i = 0; i < shares->tasks.size(); ++i) {
    LocalTask& task = *shares->tasks[i];
    task.attributes = shares->common[best];
    const double measured =
        seconds_of(shares->choice_of_task[i], task.attributes);
    if (std::isfinite(measured)) task.predicted_seconds = measured;
  }
}

absl::Status Chooser::Choose() {
  std::vector<JoinableNodes> candidates = FindJoinable(graph_, ops_);
  std::vector<Joint> joints;
  ASSIGN_OR_RETURN(std::vector<Shares> all_shares,
                   FindShares(&candidates, &joints));
  const std::vector<std::vector<double>> seconds = Seconds(all_shares);
  for (Shares& shares : all_shares) ChooseFor(seconds, &shares);
  std::vector<JoinableNodes> faster;
  for (const Joint& joint : joints) {
    if (all_shares[joint.joined].seconds <
        all_shares[joint.first].seconds + all_shares[joint.second].seconds) {
      faster.push_back(*joint.nodes);
    }
  }
  graph_ = JoinTasks(std::move(graph_), std::move(faster));
  return absl::OkStatus();
}

absl::Status Chooser::FillIn(LocalTask* task) {
  // Unless it was measured.
  if (task->predicted_seconds == 0) {
    task->predicted_seconds = LocalSeconds(*task);
  }
  if (cluster_.kernels == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const ops::KernelDef* kernel, KernelOf(*task));
  if (kernel->workspace_bytes == nullptr) return absl::OkStatus();
  // Asking may be slow (a library prepares the operation), and the blocks of a
  // residual network repeat.
  const ops::KernelSpec spec = SpecOf(*task);
  auto [it, is_new] =
      workspace_bytes_.emplace(KernelSpecText(task->op, spec), 0);
  if (is_new) {
    absl::StatusOr<int64_t> bytes = kernel->workspace_bytes(spec);
    if (!bytes.ok()) {
      return absl::Status(
          bytes.status().code(),
          absl::StrCat(task->name, ": ", bytes.status().message()));
    }
    CHECK_GE(*bytes, 0) << task->name;
    it->second = *bytes;
  }
  task->workspace_bytes = it->second;
  return absl::OkStatus();
}

absl::StatusOr<TaskGraph> Chooser::Run() {
  if (cluster_.kernels != nullptr) RETURN_IF_ERROR(Choose());
  for (LocalTask& task : graph_.tasks) {
    if (!task.op.empty()) RETURN_IF_ERROR(FillIn(&task));
  }
  return std::move(graph_);
}

}  // namespace

absl::StatusOr<TaskGraph> ChooseKernels(TaskGraph graph, const Cluster& cluster,
                                        const ops::Attributes& preferred,
                                        absl::Span<const ops::OpDef> ops,
                                        ops::OpLookup lookup) {
  return Chooser(std::move(graph), cluster, preferred, ops, lookup).Run();
}

}  // namespace facet::placement
