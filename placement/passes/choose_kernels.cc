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
          const ops::Attributes& preferred, ops::OpLookup lookup)
      : graph_(std::move(graph)),
        cluster_(cluster),
        preferred_(preferred),
        lookup_(lookup) {}

  absl::StatusOr<TaskGraph> Run();

 private:
  // The shares of a node, by its tasks of one name.
  struct Shares {
    std::vector<int> tasks;
    std::vector<int> choice_of_task;      // Indices into choices_.
    std::vector<int> choices;             // The same, each once.
    std::vector<ops::Attributes> common;  // What all of them could take.
  };

  ops::KernelSpec SpecOf(const LocalTask& task) const;
  absl::StatusOr<const ops::KernelDef*> KernelOf(const LocalTask& task) const;
  double LocalSeconds(const LocalTask& task) const;
  // Index of the task's choice.
  int ChoiceOf(const LocalTask& task, const ops::KernelDef& kernel);
  std::vector<ops::Attributes> Common(const Shares& shares) const;
  // By choice and alternative; empty for those that nobody has to know.
  std::vector<std::vector<double>> Seconds(
      const std::vector<Shares>& all_shares) const;
  absl::Status Choose();
  absl::Status FillIn(LocalTask* task);

  TaskGraph graph_;
  const Cluster& cluster_;
  const ops::Attributes& preferred_;
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
    choice.alternatives = kernel.alternatives(choice.spec);
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
  CHECK(!common.empty()) << graph_.tasks[shares.tasks[0]].name;
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
    if (shares.common.size() < 2) continue;
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

absl::Status Chooser::Choose() {
  std::map<std::pair<ops::NodeId, std::string>, int> index;
  std::vector<Shares> all_shares;
  for (size_t t = 0; t < graph_.tasks.size(); ++t) {
    const LocalTask& task = graph_.tasks[t];
    if (task.op.empty()) continue;
    ASSIGN_OR_RETURN(const ops::KernelDef* kernel, KernelOf(task));
    if (kernel->alternatives == nullptr) continue;
    const auto [it, is_new] =
        index.emplace(std::make_pair(task.node, task.name), all_shares.size());
    if (is_new) all_shares.emplace_back();
    Shares& shares = all_shares[it->second];
    shares.tasks.push_back(static_cast<int>(t));
    const int choice = ChoiceOf(task, *kernel);
    shares.choice_of_task.push_back(choice);
    if (std::find(shares.choices.begin(), shares.choices.end(), choice) ==
        shares.choices.end()) {
      shares.choices.push_back(choice);
    }
  }
  for (Shares& shares : all_shares) shares.common = Common(shares);

  const std::vector<std::vector<double>> seconds = Seconds(all_shares);
  for (const Shares& shares : all_shares) {
    // 0: not asked.
    auto seconds_of = [&](int choice, const ops::Attributes& alternative) {
      if (seconds[choice].empty()) return 0.0;
      const auto& all = choices_[choice].alternatives;
      const auto at = std::find(all.begin(), all.end(), alternative);
      return seconds[choice][at - all.begin()];
    };
    auto slowest = [&](const ops::Attributes& alternative) {
      double most = 0;
      for (int c : shares.choices) {
        most = std::max(most, seconds_of(c, alternative));
      }
      return most;
    };
    size_t best = 0;
    for (size_t a = 1; a < shares.common.size(); ++a) {
      if (slowest(shares.common[a]) < slowest(shares.common[best])) best = a;
    }
    for (size_t i = 0; i < shares.tasks.size(); ++i) {
      LocalTask& task = graph_.tasks[shares.tasks[i]];
      task.attributes = shares.common[best];
      const double measured =
          seconds_of(shares.choice_of_task[i], task.attributes);
      if (std::isfinite(measured)) task.predicted_seconds = measured;
    }
  }
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
                                        ops::OpLookup lookup) {
  return Chooser(std::move(graph), cluster, preferred, lookup).Run();
}

}  // namespace facet::placement
