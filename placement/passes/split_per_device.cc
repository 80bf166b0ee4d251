#include "placement/passes/split_per_device.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/graph/nd_sbp.h"
#include "ops/status_macros.h"
#include "placement/boxing/boxing_routes.h"

namespace facet::placement {
namespace {

ops::TensorSlice SliceOf(const ops::TensorType& type, ops::Layout layout,
                         const ops::Region& region) {
  return {type.dtype, layout, region.shape, type.shape, region.offset};
}

class Splitter {
 public:
  Splitter(const LaidOutGraph& graph, const Cluster& cluster, int data_credits,
           ops::OpLookup lookup, std::vector<int> like)
      : graph_(graph),
        cluster_(cluster),
        data_credits_(data_credits),
        lookup_(lookup),
        mesh_(MeshOf(cluster)),
        num_devices_(cluster.num_devices()),
        registers_(graph.graph.tensors.size()) {
    result_.like = std::move(like);
    for (int d = 0; d < num_devices_; ++d) {
      if (IsStated(d)) stated_.push_back(d);
    }
  }

  absl::StatusOr<TaskGraph> Run();

 private:
  void AddNode(ops::NodeId id, const ops::OpDef& def);
  absl::Status AddBoxing(ops::NodeId id);
  // Of the boxing node: what one group of devices does.
  void AddProgram(ops::NodeId id, const BoxingProgram& program);

  int AddRegister(LocalRegister reg) {
    result_.registers.push_back(std::move(reg));
    return static_cast<int>(result_.registers.size()) - 1;
  }
  ops::TensorSlice ShareOf(ops::TensorId tensor, int device) const {
    const ops::TensorType& type = graph_.graph.tensors[tensor].type;
    return SliceOf(
        type, graph_.layout[tensor],
        ops::LocalRegion(type.shape, graph_.sbp[tensor], mesh_, device));
  }
  LocalTask TaskOf(ops::NodeId id, int device) const {
    const ops::Node& node = graph_.graph.nodes[id];
    LocalTask task;
    task.name = node.name;
    task.device = device;
    task.node = id;
    task.origin = node.origin;
    task.rank = device;
    task.num_ranks = num_devices_;
    return task;
  }
  // Along an axis of the mesh: what it takes however few bytes.
  double LatencySeconds(const BoxingProgram& program, int axis) const;
  int GroupIndex(const std::vector<int>& devices);
  bool IsStated(int device) const {
    return result_.like.empty() || result_.like[device] == device;
  }

  const LaidOutGraph& graph_;
  const Cluster& cluster_;
  const int data_credits_;
  const ops::OpLookup lookup_;
  const ops::Mesh mesh_;
  const int num_devices_;
  std::vector<int> stated_;  // Devices, ascending.
  // By tensor, device; kNone of devices that are not stated.
  std::vector<std::vector<int>> registers_;
  TaskGraph result_;
};

double Splitter::LatencySeconds(const BoxingProgram& program, int axis) const {
  const int hops = static_cast<int>(program.group.size()) - 1;
  const int rounds = program.kind == CollectiveKind::kAllReduce ? 2 : 1;
  return rounds * hops * cluster_.mesh[axis].latency_seconds;
}

void Splitter::AddNode(ops::NodeId id, const ops::OpDef& def) {
  const ops::Node& node = graph_.graph.nodes[id];
  for (ops::TensorId t : node.outputs) {
    registers_[t].assign(num_devices_, ops::kNone);
  }
  for (int d : stated_) {
    LocalTask task = TaskOf(id, d);
    task.op = node.op;
    task.attributes = node.attributes;
    task.stream = def.stream;
    task.once = def.is_variable;
    task.in_place = def.in_place;
    for (ops::TensorId t : node.inputs) {
      task.inputs.push_back(registers_[t][d]);
    }
    for (int i : def.mutates) {
      if (i < static_cast<int>(node.inputs.size())) task.mutates.push_back(i);
    }
    for (ops::TensorId t : node.outputs) {
      LocalRegister reg;
      reg.name = graph_.graph.tensors[t].name;
      reg.device = d;
      reg.tensor = t;
      reg.slice = ShareOf(t, d);
      reg.persistent = def.is_variable;
      if (def.stream == ops::StreamKind::kData) reg.credits = data_credits_;
      const int r = AddRegister(std::move(reg));
      registers_[t][d] = r;
      task.outputs.push_back(r);
    }
    result_.tasks.push_back(std::move(task));
  }
}

int Splitter::GroupIndex(const std::vector<int>& devices) {
  auto& groups = result_.groups;
  auto it = std::find(groups.begin(), groups.end(), devices);
  if (it == groups.end()) it = groups.insert(groups.end(), devices);
  return static_cast<int>(it - groups.begin());
}

absl::Status Splitter::AddBoxing(ops::NodeId id) {
  const ops::Node& node = graph_.graph.nodes[id];
  CHECK_EQ(node.inputs.size(), 1u) << node.name;
  CHECK_EQ(node.outputs.size(), 1u) << node.name;
  const ops::TensorId from = node.inputs[0];
  const ops::TensorId to = node.outputs[0];
  const ops::TensorType& type = graph_.graph.tensors[from].type;
  absl::StatusOr<std::vector<BoxingProgram>> programs =
      LowerBoxingStep(type, graph_.sbp[from], graph_.sbp[to], mesh_);
  if (!programs.ok()) {
    return absl::Status(
        programs.status().code(),
        absl::StrCat(node.name, ": ", programs.status().message()));
  }
  registers_[to].assign(num_devices_, ops::kNone);
  for (const BoxingProgram& program : *programs) {
    AddProgram(id, program);
  }
  return absl::OkStatus();
}

void Splitter::AddProgram(ops::NodeId id, const BoxingProgram& program) {
  const ops::Node& node = graph_.graph.nodes[id];
  const ops::TensorId from = node.inputs[0];
  const ops::TensorId to = node.outputs[0];
  const ops::TensorType& type = graph_.graph.tensors[from].type;
  const ops::NdSbp& source = graph_.sbp[from];
  const ops::NdSbp& target = graph_.sbp[to];

  // Registers of the program's values: the shares of the source exist.
  std::vector<int> value_register(program.values.size(), ops::kNone);
  for (int v : program.inputs) {
    value_register[v] = registers_[from][program.values[v].device];
  }
  std::set<int> outputs(program.outputs.begin(), program.outputs.end());
  std::vector<int> buffers(num_devices_, 0);
  for (size_t v = 0; v < program.values.size(); ++v) {
    const BoxingValue& value = program.values[v];
    if (value_register[v] != ops::kNone || !IsStated(value.device)) continue;
    LocalRegister reg;
    reg.device = value.device;
    if (outputs.count(static_cast<int>(v)) > 0) {
      reg.name = graph_.graph.tensors[to].name;
      reg.tensor = to;
      reg.slice = SliceOf(type, graph_.layout[to], value.region);
    } else {
      // What it holds of the tensor matters to its pack and unpack only.
      reg.name = absl::StrCat(node.name, "/buffer", buffers[value.device]++);
      reg.slice =
          SliceOf({type.dtype, value.region.shape},
                  value.packed ? ops::Layout::kRowMajor : graph_.layout[from],
                  ops::WholeRegion(value.region.shape));
    }
    value_register[v] = AddRegister(std::move(reg));
  }

  std::set<std::pair<int, std::string>> names;
  for (const BoxingTask& part : program.tasks) {
    if (!IsStated(part.device)) continue;
    LocalTask task = TaskOf(id, part.device);
    if (part.input != ops::kNone) {
      task.inputs.push_back(value_register[part.input]);
    }
    if (part.output != ops::kNone) {
      task.outputs.push_back(value_register[part.output]);
    }
    const bool collective = part.op.empty();
    absl::StrAppend(&task.name, "/",
                    collective ? CollectiveKindName(program.kind)
                               : absl::string_view(part.op));
    const std::string base = task.name;
    for (int i = 2; !names.emplace(part.device, task.name).second; ++i) {
      task.name = absl::StrCat(base, "_", i);
    }
    if (collective) {
      task.stream = ops::StreamKind::kCommunication;
      task.collective.kind = program.kind;
      task.collective.reduce = program.reduce;
      task.collective.group = GroupIndex(program.group);
      task.collective.counts = part.counts;
      task.collective.receive_counts = part.receive_counts;
      task.collective.bytes = program.bytes_per_device;
      task.collective.transition =
          absl::StrCat(source.ToString(), " -> ", target.ToString());
      task.rank = static_cast<int>(
          std::find(program.group.begin(), program.group.end(), part.device) -
          program.group.begin());
      task.num_ranks = static_cast<int>(program.group.size());
      if (program.kind == CollectiveKind::kAllReduce) {
        task.in_place.push_back({0, 0});
      }
      const int axis = ChangedAxis(source, target);
      task.collective.latency_seconds = LatencySeconds(program, axis);
      task.predicted_seconds =
          task.collective.latency_seconds +
          program.bytes_per_device / cluster_.mesh[axis].bytes_per_second;
    } else {
      const ops::OpDef* def = lookup_(part.op);
      CHECK(def != nullptr) << part.op;
      task.op = part.op;
      task.attributes = part.attributes;
      task.in_place = def->in_place;
      task.stream = def->stream;
    }
    result_.tasks.push_back(std::move(task));
  }
  for (int v : program.outputs) {
    registers_[to][program.values[v].device] = value_register[v];
  }
}

absl::StatusOr<TaskGraph> Splitter::Run() {
  // Boxing adds some more.
  const size_t devices = stated_.size();
  result_.tasks.reserve(graph_.graph.nodes.size() * devices * 5 / 4);
  result_.registers.reserve(graph_.graph.tensors.size() * devices * 5 / 4);
  for (size_t n = 0; n < graph_.graph.nodes.size(); ++n) {
    const ops::Node& node = graph_.graph.nodes[n];
    const ops::NodeId id = static_cast<ops::NodeId>(n);
    const ops::OpDef* def = lookup_(node.op);
    CHECK(def != nullptr) << node.name << ": " << node.op;
    // A physical identity that does not change the layout changes the SBP.
    const bool is_boxing =
        def->physical && node.inputs.size() == 1 && node.outputs.size() == 1 &&
        graph_.layout[node.inputs[0]] == graph_.layout[node.outputs[0]];
    if (is_boxing) {
      RETURN_IF_ERROR(AddBoxing(id));
    } else {
      AddNode(id, *def);
    }
  }
  return std::move(result_);
}

}  // namespace

absl::StatusOr<TaskGraph> SplitPerDevice(const LaidOutGraph& graph,
                                         const Cluster& cluster,
                                         int data_credits, ops::OpLookup lookup,
                                         std::vector<int> like) {
  if (data_credits < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("data_credits is ", data_credits, "; at least 1"));
  }
  CHECK(like.empty() ||
        like.size() == static_cast<size_t>(cluster.num_devices()));
  return Splitter(graph, cluster, data_credits, lookup, std::move(like)).Run();
}

}  // namespace facet::placement
