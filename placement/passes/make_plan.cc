#include "placement/passes/make_plan.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "placement/plan/attribute.h"
#include "placement/plan/firing.h"
#include "placement/plan/happens_before.h"
#include "placement/plan/validate.h"
#include "placement/simulate/simulator.h"

namespace facet::placement {
namespace {

Collective::Kind KindOf(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::kAllReduce:
      return Collective::ALL_REDUCE;
    case CollectiveKind::kAllGather:
      return Collective::ALL_GATHER;
    case CollectiveKind::kReduceScatter:
      return Collective::REDUCE_SCATTER;
    case CollectiveKind::kAllToAll:
      return Collective::ALL_TO_ALL;
    case CollectiveKind::kNone:
      break;
  }
  return Collective::INVALID;
}

Collective::Reduce ReduceOf(ReduceKind reduce) {
  switch (reduce) {
    case ReduceKind::kSum:
      return Collective::SUM;
    case ReduceKind::kMax:
      return Collective::MAX;
    case ReduceKind::kNone:
      break;
  }
  return Collective::NONE;
}

void AddDevices(const Cluster& cluster, const std::vector<int>& like,
                const MemoryPlan& memory, Plan* plan) {
  for (int d = 0; d < cluster.num_devices(); ++d) {
    const DeviceSpec& spec = cluster.devices[d];
    Device* device = plan->add_devices();
    device->set_kind(spec.kind);
    device->set_name(spec.name);
    device->set_cores(spec.cores);
    device->set_arena_bytes(memory.devices[d].arena_bytes);
    device->set_persistent_bytes(memory.devices[d].persistent_bytes);
    device->set_live_bytes(memory.devices[d].live_bytes);
    if (!like.empty() && like[d] != d) device->set_like(like[d]);
  }
}

// One axis goes without saying.
void AddMesh(const Cluster& cluster, Plan* plan) {
  if (cluster.mesh.size() == 1) return;
  for (const MeshAxis& axis : cluster.mesh) {
    PlanAxis* to = plan->add_mesh();
    to->set_name(axis.name);
    to->set_size(axis.size);
  }
}

void AddTensors(const LaidOutGraph& graph, int num_devices,
                ops::OpLookup lookup, Plan* plan) {
  for (size_t t = 0; t < graph.graph.tensors.size(); ++t) {
    const ops::Tensor& from = graph.graph.tensors[t];
    const ops::Node& producer = graph.graph.nodes[from.producer];
    const ops::OpDef* def = lookup(producer.op);
    CHECK(def != nullptr) << producer.op;
    LogicalTensor* to = plan->add_tensors();
    to->set_name(from.name);
    to->set_dtype(std::string(ops::DataTypeName(from.type.dtype)));
    for (int64_t dim : from.type.shape.dims()) to->add_shape(dim);
    for (const ops::Sbp& along_axis : graph.sbp[t]) {
      to->add_sbp(along_axis.ToString());
    }
    for (int d = 0; d < num_devices; ++d) to->add_devices(d);
    to->set_layer(producer.origin.layer);
    to->set_part(producer.origin.part);
    to->set_variable(def->is_variable);
  }
}

void AddRegisters(const TaskGraph& tasks, const MemoryPlan& memory,
                  Plan* plan) {
  plan->mutable_registers()->Reserve(static_cast<int>(tasks.registers.size()));
  for (size_t r = 0; r < tasks.registers.size(); ++r) {
    const LocalRegister& from = tasks.registers[r];
    Register* to = plan->add_registers();
    to->set_name(from.name);
    to->set_device(from.device);
    to->set_tensor(from.tensor);
    to->set_dtype(std::string(ops::DataTypeName(from.slice.dtype)));
    to->set_layout(std::string(ops::LayoutName(from.slice.layout)));
    for (int64_t dim : from.slice.shape.dims()) to->add_shape(dim);
    for (int64_t dim : from.slice.global_shape.dims()) {
      to->add_global_shape(dim);
    }
    for (int64_t dim : from.slice.offset.dims()) to->add_offset(dim);
    to->set_size_bytes(from.slice.size_bytes());
    to->set_arena_offset(memory.register_offset[r]);
    to->set_slot_stride_bytes(memory.slot_stride[r]);
    to->set_credits(from.credits);
    to->set_persistent(from.persistent);
  }
}

void AddTasks(const TaskGraph& tasks, const MemoryPlan& memory, Plan* plan) {
  std::map<std::pair<int, int>, int> sequences;  // By (group, device).
  plan->mutable_tasks()->Reserve(static_cast<int>(tasks.tasks.size()));
  for (size_t t = 0; t < tasks.tasks.size(); ++t) {
    const LocalTask& from = tasks.tasks[t];
    Task* to = plan->add_tasks();
    to->set_name(from.name);
    to->set_device(from.device);
    to->set_stream(std::string(ops::StreamKindName(from.stream)));
    if (from.collective.kind != CollectiveKind::kNone) {
      Collective* collective = to->mutable_collective();
      collective->set_kind(KindOf(from.collective.kind));
      collective->set_reduce(ReduceOf(from.collective.reduce));
      collective->set_group(from.collective.group);
      collective->set_sequence(
          sequences[{from.collective.group, from.device}]++);
      for (int64_t n : from.collective.counts) collective->add_counts(n);
      for (int64_t n : from.collective.receive_counts) {
        collective->add_receive_counts(n);
      }
      collective->set_bytes(from.collective.bytes);
      collective->set_transition(from.collective.transition);
    } else {
      to->set_op(from.op);
      WriteAttributes(from.attributes, to);
    }
    for (int r : from.inputs) to->add_inputs(r);
    for (int r : from.outputs) to->add_outputs(r);
    for (int i : from.mutates) to->add_mutates(i);
    for (const ops::InPlacePair& pair : memory.in_place[t]) {
      InPlace* in_place = to->add_in_place();
      in_place->set_input(pair.input);
      in_place->set_output(pair.output);
    }
    to->set_workspace_bytes(from.workspace_bytes);
    if (from.workspace_bytes > 0) {
      to->set_workspace_offset(memory.workspace_offset[t]);
    }
    to->set_once(from.once);
    if (from.origin.every > 1) to->set_every(from.origin.every);
    to->set_rank(from.rank);
    to->set_num_ranks(from.num_ranks);
    to->set_layer(from.origin.layer);
    to->set_part(from.origin.part);
    to->set_phase(std::string(ops::PhaseName(from.origin.phase)));
    to->set_predicted_seconds(from.predicted_seconds);
    if (from.parts > 1) to->set_parts(from.parts);
  }
}

// Reads of a variable and its update, where nothing else orders them.
std::vector<Ordering> UpdateOrderings(const TaskGraph& tasks) {
  std::vector<int> mutator(tasks.registers.size(), -1);
  for (size_t t = 0; t < tasks.tasks.size(); ++t) {
    const LocalTask& task = tasks.tasks[t];
    for (int i : task.mutates) {
      mutator[task.inputs[i]] = static_cast<int>(t);
    }
  }
  std::vector<Ordering> orderings;
  for (size_t t = 0; t < tasks.tasks.size(); ++t) {
    const int reader = static_cast<int>(t);
    for (int r : tasks.tasks[t].inputs) {
      if (mutator[r] < 0 || mutator[r] == reader) continue;
      CHECK_LT(reader, mutator[r]) << tasks.tasks[t].name;
      orderings.push_back({reader, mutator[r], 0});
      orderings.push_back({mutator[r], reader, 1});
    }
  }
  return orderings;
}

void AddWait(int task, int predecessor, int steps, Plan* plan) {
  Wait* wait = plan->mutable_tasks(task)->add_waits();
  wait->set_task(predecessor);
  wait->set_steps(steps);
}

void AddUpdateWaits(const TaskGraph& tasks, Plan* plan) {
  std::vector<TaskPlace> places(tasks.tasks.size());
  std::vector<int> order;
  for (size_t t = 0; t < tasks.tasks.size(); ++t) {
    const LocalTask& task = tasks.tasks[t];
    if (task.once) continue;
    places[t] = {task.device, static_cast<int>(task.stream)};
    order.push_back(static_cast<int>(t));
  }
  const HappensBefore before(places, FiringEdges(*plan), order,
                             UpdateOrderings(tasks));
  for (const Ordering& ordering : before.added()) {
    AddWait(ordering.after, ordering.before, ordering.steps, plan);
  }
}

// What brings the variables up to date that a task leaves behind.
void AddSettleTasks(ops::OpLookup lookup, Plan* plan) {
  for (const Task& from : plan->tasks()) {
    if (from.has_collective()) continue;
    const ops::OpDef& mutator = *lookup(from.op());
    if (mutator.settle.op.empty()) continue;
    const ops::OpDef* def = lookup(mutator.settle.op);
    CHECK(def != nullptr) << mutator.settle.op;
    Task* to = plan->add_settle_tasks();
    to->set_op(def->name);
    to->set_device(from.device());
    to->set_stream(std::string(ops::StreamKindName(def->stream)));
    for (const ops::AttributeSpec& spec : def->attributes) {
      for (const Attribute& attribute : from.attributes()) {
        if (attribute.name() == spec.name) *to->add_attributes() = attribute;
      }
    }
    for (int i : mutator.settle.inputs) to->add_inputs(from.inputs(i));
    for (int i : def->mutates) to->add_mutates(i);
    to->set_name(absl::StrCat(from.name(), "/", def->name));
    to->set_rank(from.rank());
    to->set_num_ranks(from.num_ranks());
    to->set_layer(from.layer());
    to->set_part(from.part());
    to->set_phase(from.phase());
  }
}

}  // namespace

Plan MakePlan(const LaidOutGraph& graph, const TaskGraph& tasks,
              const MemoryPlan& memory, const Cluster& cluster,
              ops::OpLookup lookup) {
  Plan plan;
  plan.set_version(kPlanVersion);
  plan.set_name(graph.graph.name);
  AddMesh(cluster, &plan);
  AddDevices(cluster, tasks.like, memory, &plan);
  AddTensors(graph, cluster.num_devices(), lookup, &plan);
  AddRegisters(tasks, memory, &plan);
  AddTasks(tasks, memory, &plan);
  for (const std::vector<int>& devices : tasks.groups) {
    Group* group = plan.add_groups();
    for (int d : devices) group->add_devices(d);
  }
  for (const MemoryWait& wait : memory.waits) {
    AddWait(wait.task, wait.predecessor, wait.steps, &plan);
  }
  AddUpdateWaits(tasks, &plan);
  AddSettleTasks(lookup, &plan);
  plan.set_predicted_step_seconds(SimulateSteadyStep(plan).seconds);
  return plan;
}

}  // namespace facet::placement
