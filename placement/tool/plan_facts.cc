#include "placement/tool/plan_facts.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/graph/data_type.h"
#include "ops/op_table.h"
#include "placement/plan/firing.h"

namespace facet::placement {
namespace {

// Ops that placement inserted are not what the model's layer does.
bool IsOfTheModel(const Task& task) {
  const ops::OpDef* def = ops::FindOp(task.op());
  return def == nullptr || !def->physical;
}

// By tensor: is it state of the optimizer?
std::vector<bool> FindOptimizerState(const Plan& plan) {
  std::vector<bool> of_optimizer(plan.tensors_size(), false);
  for (const Task& task : plan.tasks()) {
    if (!task.once() || task.phase() != "optimizer") continue;
    for (int r : task.outputs()) {
      const int tensor = plan.registers(r).tensor();
      if (tensor >= 0) of_optimizer[tensor] = true;
    }
  }
  return of_optimizer;
}

}  // namespace

std::string HardwareText(const Plan& plan) {
  const Device& first = plan.devices(0);
  const std::string name = first.name().substr(0, first.name().rfind(':'));
  return name.empty() ? first.kind() : name;
}

std::string SbpText(const LogicalTensor& tensor) {
  return absl::StrJoin(tensor.sbp(), ",");
}

std::string TypeText(const LogicalTensor& tensor) {
  return absl::StrCat(tensor.dtype(), "[", absl::StrJoin(tensor.shape(), ", "),
                      "]");
}

std::string KindText(const Collective& collective) {
  std::string text = Collective::Kind_Name(collective.kind());
  for (char& c : text) c = c == '_' ? '-' : static_cast<char>(c | 0x20);
  return text;
}

std::vector<TensorFacts> FindTensors(const Plan& plan) {
  std::vector<TensorFacts> facts(plan.tensors_size());
  for (int t = 0; t < plan.tensors_size(); ++t) {
    const auto dtype = ops::ParseDataType(plan.tensors(t).dtype());
    facts[t].bytes = dtype.ok() ? ops::SizeInBytes(*dtype) : 0;
    for (int64_t dim : plan.tensors(t).shape()) facts[t].bytes *= dim;
  }
  for (const Register& reg : plan.registers()) {
    if (reg.tensor() < 0) continue;
    int64_t& most = facts[reg.tensor()].bytes_per_device;
    most = std::max(most, reg.size_bytes());
  }
  return facts;
}

std::vector<CollectiveFacts> FindCollectives(const Plan& plan) {
  std::vector<CollectiveFacts> facts;
  // On a mesh of several axes, groups of devices do the same side by side.
  std::set<std::string> names;
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    if (!task.has_collective() || task.rank() != 0) continue;
    if (!names.insert(task.name()).second) continue;
    CollectiveFacts c;
    c.task = t;
    c.kind = KindText(task.collective());
    c.transition = task.collective().transition();
    c.ranks = task.num_ranks();
    c.bytes = task.collective().bytes() / Every(task);
    c.seconds = task.predicted_seconds() / Every(task);
    facts.push_back(std::move(c));
  }
  return facts;
}

std::vector<LayerFacts> FindLayers(const Plan& plan) {
  std::vector<LayerFacts> layers;
  std::map<std::string, int> index;
  auto layer_of = [&](const std::string& name, const std::string& part) {
    auto [it, is_new] = index.emplace(name, layers.size());
    if (is_new) {
      layers.emplace_back();
      layers.back().layer = name;
      layers.back().part = part;
    }
    return &layers[it->second];
  };
  for (const Task& task : plan.tasks()) {
    if (task.device() != 0 || task.once()) continue;
    if (task.phase() != "data" && task.phase() != "forward") continue;
    if (task.has_collective() || !IsOfTheModel(task)) continue;
    LayerFacts* layer = layer_of(task.layer(), task.part());
    if (std::count(layer->ops.begin(), layer->ops.end(), task.op()) == 0) {
      layer->ops.push_back(task.op());
    }
    if (task.outputs().empty()) continue;
    const Register& reg = plan.registers(task.outputs(0));
    if (reg.tensor() < 0) continue;
    layer->output = reg.tensor();
    layer->share.assign(reg.shape().begin(), reg.shape().end());
  }
  const std::vector<bool> of_optimizer = FindOptimizerState(plan);
  // By layer and device: parameters, state.
  std::map<std::pair<std::string, int>, std::pair<int64_t, int64_t>> bytes;
  for (const Register& reg : plan.registers()) {
    if (!reg.persistent() || reg.tensor() < 0) continue;
    const LogicalTensor& tensor = plan.tensors(reg.tensor());
    LayerFacts* layer = layer_of(tensor.layer(), tensor.part());
    auto& [parameters, state] = bytes[{tensor.layer(), reg.device()}];
    if (of_optimizer[reg.tensor()]) {
      state += reg.size_bytes();
      layer->state_bytes = std::max(layer->state_bytes, state);
    } else {
      parameters += reg.size_bytes();
      layer->parameter_bytes = std::max(layer->parameter_bytes, parameters);
      layer->parameter_sbp.insert(SbpText(tensor));
    }
  }
  for (CollectiveFacts& c : FindCollectives(plan)) {
    const Task& task = plan.tasks(c.task);
    layer_of(task.layer(), task.part())->collectives.push_back(std::move(c));
  }
  return layers;
}

PlanTotals FindTotals(const Plan& plan) {
  PlanTotals totals;
  for (const Device& device : plan.devices()) {
    totals.arena_bytes = std::max(totals.arena_bytes, device.arena_bytes());
    totals.persistent_bytes =
        std::max(totals.persistent_bytes, device.persistent_bytes());
    if (device.live_bytes() > 0) {
      totals.arena_over_lower_bound = std::max(
          totals.arena_over_lower_bound,
          static_cast<double>(device.arena_bytes()) / device.live_bytes());
    }
  }
  for (const CollectiveFacts& c : FindCollectives(plan)) {
    ++totals.collectives;
    totals.collective_bytes += c.bytes;
  }
  if (plan.search_lower_bound_seconds() > 0) {
    totals.optimality_gap =
        plan.search_seconds() / plan.search_lower_bound_seconds() - 1;
    // Two ways to add up the same.
    if (totals.optimality_gap < 1e-9) totals.optimality_gap = 0;
  }
  return totals;
}

}  // namespace facet::placement
