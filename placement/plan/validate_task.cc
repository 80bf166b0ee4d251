#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "ops/graph/data_type.h"
#include "ops/graph/layout.h"
#include "ops/graph/nd_sbp.h"
#include "ops/status_macros.h"
#include "placement/plan/attribute.h"
#include "placement/plan/stated_devices.h"
#include "placement/plan/task_parts.h"
#include "placement/plan/validate_parts.h"

namespace facet::placement {
namespace {

constexpr int64_t kAlignment = 64;

absl::string_view ValueTypeName(const ops::AttributeValue& value) {
  static constexpr absl::string_view kNames[] = {"bool", "int", "float",
                                                 "string", "ints"};
  return kNames[value.index()];
}

// The share or, for ops on what is here alone, its shape as if it were all.
ops::TensorType TypeOf(const Register& reg, bool local) {
  return {*ops::ParseDataType(reg.dtype()),
          local ? ops::Shape(reg.shape()) : ops::Shape(reg.global_shape())};
}

// Which SBPs give a device the share that a register holds. The signatures of a
// mesh of several axes repeat them.
class ShareFits {
 public:
  ShareFits(const Register& reg, const ops::Mesh& mesh, int device)
      : mesh_(mesh),
        device_(device),
        global_shape_(reg.global_shape()),
        shape_(reg.shape()),
        offset_(reg.offset()) {}

  bool Fits(const ops::NdSbp& sbp) {
    for (const auto& [known, fits] : known_) {
      if (known == sbp) return fits;
    }
    const ops::Region region =
        ops::LocalRegion(global_shape_, sbp, mesh_, device_);
    const bool fits = region.shape == shape_ && region.offset == offset_;
    known_.emplace_back(sbp, fits);
    return fits;
  }

 private:
  const ops::Mesh& mesh_;
  const int device_;
  const ops::Shape global_shape_, shape_, offset_;
  std::vector<std::pair<ops::NdSbp, bool>> known_;
};

}  // namespace

int StreamIndex(const std::string& name) {
  for (ops::StreamKind kind :
       {ops::StreamKind::kCompute, ops::StreamKind::kCommunication,
        ops::StreamKind::kData, ops::StreamKind::kHost}) {
    if (name == ops::StreamKindName(kind)) return static_cast<int>(kind);
  }
  return -1;
}

absl::Status TaskChecker::CheckReferences(int t) const {
  const Task& task = plan_.tasks(t);
  if (task.device() < 0 || task.device() >= plan_.devices_size()) {
    return TaskError(plan_, t, "device ", task.device(), " of ",
                     plan_.devices_size());
  }
  if (!IsStated(plan_.devices(task.device()))) {
    return TaskError(plan_, t, "is on a device that is like another");
  }
  if (StreamIndex(task.stream()) < 0) {
    return TaskError(plan_, t, "stream \"", task.stream(),
                     "\"; allowed: compute, communication, data, host");
  }
  for (const auto* list : {&task.inputs(), &task.outputs()}) {
    for (int r : *list) {
      if (r < 0 || r >= plan_.registers_size()) {
        return TaskError(plan_, t, "register ", r, " of ",
                         plan_.registers_size());
      }
      if (plan_.registers(r).device() != task.device()) {
        return TaskError(plan_, t, RegisterLabel(plan_, r), " is on device ",
                         plan_.registers(r).device());
      }
    }
  }
  std::set<int> mutated;
  for (int i : task.mutates()) {
    if (i < 0 || i >= task.inputs_size() || !mutated.insert(i).second) {
      return TaskError(plan_, t, "mutates input ", i, " of ",
                       task.inputs_size(), ", or twice");
    }
    if (!plan_.registers(task.inputs(i)).persistent()) {
      return TaskError(plan_, t, "mutates ",
                       RegisterLabel(plan_, task.inputs(i)),
                       ", which is not persistent");
    }
  }
  const Device& device = plan_.devices(task.device());
  int64_t end;
  if (task.workspace_bytes() < 0 || task.workspace_offset() < 0 ||
      task.workspace_offset() % kAlignment != 0 ||
      __builtin_add_overflow(task.workspace_offset(), task.workspace_bytes(),
                             &end) ||
      (task.workspace_bytes() > 0 &&
       (end > device.arena_bytes() ||
        task.workspace_offset() < device.persistent_bytes()))) {
    return TaskError(plan_, t, "the workspace of ", task.workspace_bytes(),
                     " bytes at ", task.workspace_offset(),
                     " is not within the shared part of the arena [",
                     device.persistent_bytes(), ", ", device.arena_bytes(),
                     "), or not a multiple of ", kAlignment);
  }
  for (const Wait& wait : task.waits()) {
    if (wait.task() < 0 || wait.task() >= plan_.tasks_size()) {
      return TaskError(plan_, t, "waits for task ", wait.task(), " of ",
                       plan_.tasks_size());
    }
    if (wait.steps() != 0 && wait.steps() != 1) {
      return TaskError(plan_, t, "a wait over ", wait.steps(),
                       " steps; 0 or 1");
    }
    if (task.once() || plan_.tasks(wait.task()).once() ||
        plan_.tasks(wait.task()).device() != task.device()) {
      return TaskError(plan_, t, "waits for ", TaskLabel(plan_, wait.task()),
                       "; both must run every step, on one device");
    }
  }
  if (task.num_ranks() < 1 || task.num_ranks() > plan_.devices_size() ||
      task.rank() < 0 || task.rank() >= task.num_ranks()) {
    return TaskError(plan_, t, "rank ", task.rank(), " of ", task.num_ranks());
  }
  if (!(task.predicted_seconds() >= 0) ||
      !std::isfinite(task.predicted_seconds())) {
    return TaskError(plan_, t, "predicted_seconds ", task.predicted_seconds());
  }
  return absl::OkStatus();
}

absl::Status TaskChecker::CheckInPlace(int t, const ops::OpDef* def) const {
  const Task& task = plan_.tasks(t);
  std::set<int> outputs;
  for (const InPlace& pair : task.in_place()) {
    if (pair.input() < 0 || pair.input() >= task.inputs_size() ||
        pair.output() < 0 || pair.output() >= task.outputs_size() ||
        !outputs.insert(pair.output()).second) {
      return TaskError(plan_, t, "in-place pair (", pair.input(), ", ",
                       pair.output(), ") is not of its operands, or twice");
    }
    auto allows = [&](int input) {
      if (def == nullptr) {
        return task.collective().kind() == Collective::ALL_REDUCE &&
               input == pair.output();
      }
      for (const ops::InPlacePair& p : def->in_place) {
        if (p.input == input && p.output == pair.output()) return true;
      }
      return false;
    };
    // Where it is an operand twice, both must stand being overwritten.
    bool allowed = true;
    for (int i = 0; i < task.inputs_size(); ++i) {
      if (task.inputs(i) == task.inputs(pair.input()) && !allows(i)) {
        allowed = false;
      }
    }
    const Register& in = plan_.registers(task.inputs(pair.input()));
    const Register& out = plan_.registers(task.outputs(pair.output()));
    if (!allowed || in.persistent() || in.credits() != 1 || out.persistent() ||
        out.credits() != 1 || in.size_bytes() != out.size_bytes() ||
        in.layout() != out.layout() ||
        in.arena_offset() != out.arena_offset()) {
      return TaskError(
          plan_, t, "output ", pair.output(), " cannot lie over input ",
          pair.input(),
          ": the op does not allow it, or size, layout, offset or kind of the "
          "registers differ");
    }
  }
  return absl::OkStatus();
}

absl::Status TaskChecker::CheckLayouts(int t, const Task& task,
                                       const ops::OpDef& def) const {
  if (def.physical) return absl::OkStatus();  // They move any memory.
  std::string shared;
  auto check = [&](const google::protobuf::RepeatedField<int32_t>& registers,
                   const std::vector<int>& listed, int last,
                   absl::string_view what) -> absl::Status {
    for (int i = 0; i < registers.size(); ++i) {
      const Register& reg = plan_.registers(registers[i]);
      if (reg.shape_size() != 4) continue;
      const int operand = std::min(i, last);
      if (std::find(listed.begin(), listed.end(), operand) == listed.end()) {
        if (reg.layout() == ops::LayoutName(ops::Layout::kRowMajor)) continue;
        return TaskError(plan_, t, what, " ", i, " has layout ", reg.layout(),
                         "; op ", def.name, " takes it row-major");
      }
      if (shared.empty()) shared = reg.layout();
      if (def.layout.same && reg.layout() != shared) {
        return TaskError(plan_, t, what, " ", i, " has layout ", reg.layout(),
                         ", others ", shared, "; op ", def.name,
                         " wants one for all");
      }
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(check(task.inputs(), def.layout.inputs,
                        static_cast<int>(def.inputs.size()) - 1, "input"));
  return check(task.outputs(), def.layout.outputs,
               static_cast<int>(def.outputs.size()) - 1, "output");
}

absl::Status TaskChecker::CheckShares(int t, const Task& task,
                                      const ops::OpDef& def,
                                      const ops::Attributes& attributes) {
  std::vector<ops::TensorType> types;
  for (const auto* list : {&task.inputs(), &task.outputs()}) {
    for (int r : *list) {
      types.push_back(TypeOf(plan_.registers(r), def.physical));
    }
  }
  const absl::Span<const ops::TensorType> all(types);
  const auto inputs = all.first(task.inputs_size());
  const auto outputs = all.last(task.outputs_size());
  std::string key;
  for (const auto& [name, value] : attributes.values()) {
    absl::StrAppend(&key, name, "=", ops::AttributeToString(value), ";");
  }
  const ops::Mesh mesh = MeshOfRanks(plan_, task.num_ranks());
  if (last_.op != def.name || last_.num_ranks != task.num_ranks() ||
      last_.attributes != key || last_.types != types) {
    std::vector<ops::TensorType> inferred;
    const absl::Status status = def.infer({attributes, inputs, {}}, &inferred);
    if (!status.ok()) return TaskError(plan_, t, status.message());
    // What is packed may be a share already: then only the count matters.
    const bool agree =
        def.physical
            ? std::equal(
                  inferred.begin(), inferred.end(), outputs.begin(),
                  outputs.end(),
                  [](const ops::TensorType& a, const ops::TensorType& b) {
                    return a.dtype == b.dtype &&
                           a.shape.num_elements() == b.shape.num_elements();
                  })
            : absl::MakeConstSpan(inferred) == outputs;
    if (!agree) {
      return TaskError(
          plan_, t, "op ", def.name, " gives ",
          absl::StrJoin(inferred, ", ",
                        [](std::string* out, const ops::TensorType& type) {
                          out->append(type.ToString());
                        }),
          "; its registers hold ",
          absl::StrJoin(outputs, ", ",
                        [](std::string* out, const ops::TensorType& type) {
                          out->append(type.ToString());
                        }));
    }
    last_ = {};
    if (!def.physical) {
      last_.signatures =
          ops::LegalNdSignatures(def, {attributes, inputs, outputs}, mesh);
    }
    last_.op = def.name;
    last_.attributes = key;
    last_.types = std::move(types);
    last_.num_ranks = task.num_ranks();
  }
  if (def.physical) return absl::OkStatus();
  std::vector<ShareFits> shares;
  for (const auto* list : {&task.inputs(), &task.outputs()}) {
    for (int r : *list) {
      shares.emplace_back(plan_.registers(r), mesh, task.rank());
    }
  }
  for (const ops::NdSignature& signature : last_.signatures) {
    bool fits = true;
    for (size_t i = 0; fits && i < shares.size(); ++i) {
      const size_t num_inputs = signature.inputs.size();
      fits = shares[i].Fits(i < num_inputs ? signature.inputs[i]
                                           : signature.outputs[i - num_inputs]);
    }
    if (fits) return absl::OkStatus();
  }
  return TaskError(plan_, t, "no signature of op ", def.name, " gives rank ",
                   task.rank(), " of ", task.num_ranks(),
                   " these shares of its operands");
}

absl::Status TaskChecker::CheckParts(int t) const {
  const Task& task = plan_.tasks(t);
  const int parts = NumParts(task);
  const ops::OpDef* def = lookup_(task.op());
  if (def == nullptr || !def->may_group) {
    return TaskError(plan_, t, "op ", task.op(),
                     " is not one that may have parts, and here are ", parts);
  }
  if (task.inputs_size() == 0 || task.inputs_size() % parts != 0 ||
      task.outputs_size() % parts != 0) {
    return TaskError(plan_, t, "has ", task.inputs_size(), " inputs and ",
                     task.outputs_size(), " outputs for ", parts,
                     " parts, which have as many each");
  }
  if (task.in_place_size() > 0) {
    return TaskError(plan_, t,
                     "has parts, whose outputs cannot lie over inputs");
  }
  // Their kernel goes by the types of the first.
  for (const auto* operands : {&task.inputs(), &task.outputs()}) {
    const int count = operands->size() / parts;
    for (int i = count; i < operands->size(); ++i) {
      const Register& reg = plan_.registers(operands->Get(i));
      const Register& first = plan_.registers(operands->Get(i % count));
      if (reg.dtype() != first.dtype()) {
        return TaskError(plan_, t, RegisterLabel(plan_, operands->Get(i)),
                         " is ", reg.dtype(), " in part ", i / count, ", ",
                         first.dtype(), " in part 0");
      }
    }
  }
  // Parts may run at the same time.
  const int inputs = task.inputs_size() / parts;
  std::map<int, int> mutated;  // The part that does it, by register.
  for (int i : task.mutates()) mutated[task.inputs(i)] = i / inputs;
  for (int i = 0; i < task.inputs_size(); ++i) {
    const auto it = mutated.find(task.inputs(i));
    if (it != mutated.end() && it->second != i / inputs) {
      return TaskError(plan_, t, "part ", it->second, " mutates ",
                       RegisterLabel(plan_, it->first), ", which part ",
                       i / inputs, " uses");
    }
  }
  return absl::OkStatus();
}

absl::Status TaskChecker::CheckKernel(int t, const Task& task) {
  const ops::OpDef* def = lookup_(task.op());
  if (def == nullptr) {
    return TaskError(plan_, t, "unknown op \"", task.op(), "\"");
  }
  const int most = static_cast<int>(def->inputs.size());
  if (task.inputs_size() < most - def->num_optional_inputs ||
      (task.inputs_size() > most && !def->variadic) ||
      task.outputs_size() != static_cast<int>(def->outputs.size())) {
    return TaskError(plan_, t, "has ", task.inputs_size(), " inputs and ",
                     task.outputs_size(), " outputs; op ", def->name,
                     " takes (", absl::StrJoin(def->inputs, ", "),
                     ") and gives (", absl::StrJoin(def->outputs, ", "), ")");
  }
  absl::StatusOr<ops::Attributes> attributes = ReadAttributes(task);
  if (!attributes.ok()) {
    return TaskError(plan_, t, attributes.status().message());
  }
  size_t known = 0;
  for (const ops::AttributeSpec& spec : def->attributes) {
    auto it = attributes->values().find(spec.name);
    if (it == attributes->values().end()) {
      return TaskError(plan_, t, "lacks the attribute \"", spec.name, "\"");
    }
    ++known;
    if (it->second.index() != spec.initial.index()) {
      return TaskError(plan_, t, "attribute \"", spec.name, "\" is a ",
                       ValueTypeName(it->second), ", expected a ",
                       ValueTypeName(spec.initial));
    }
  }
  if (known != attributes->values().size()) {
    return TaskError(plan_, t, "has ", attributes->values().size(),
                     " attributes, op ", def->name, " has ", known);
  }
  std::vector<int> mutates(task.mutates().begin(), task.mutates().end());
  std::vector<int> expected;
  for (int i : def->mutates) {
    if (i < task.inputs_size()) expected.push_back(i);
  }
  std::sort(mutates.begin(), mutates.end());
  std::sort(expected.begin(), expected.end());
  if (mutates != expected) {
    return TaskError(plan_, t, "mutates inputs {", absl::StrJoin(mutates, ", "),
                     "}, op ", def->name, " {", absl::StrJoin(expected, ", "),
                     "}");
  }
  if (def->is_variable && !task.once()) {
    return TaskError(plan_, t, "makes a variable, but not once");
  }
  RETURN_IF_ERROR(CheckInPlace(t, def));
  RETURN_IF_ERROR(CheckLayouts(t, task, *def));
  return CheckShares(t, task, *def, *attributes);
}

absl::Status TaskChecker::Check(int t) {
  RETURN_IF_ERROR(CheckReferences(t));
  const Task& task = plan_.tasks(t);
  if (task.every() < 0 || (task.once() && task.every() > 1)) {
    return TaskError(plan_, t, "works in every ", task.every(), " steps",
                     task.once() ? ", but runs once" : "");
  }
  if (task.parts() < 0) {
    return TaskError(plan_, t, "has ", task.parts(), " parts");
  }
  if (!task.has_collective()) {
    if (NumParts(task) == 1) return CheckKernel(t, task);
    RETURN_IF_ERROR(CheckParts(t));
    for (int part = 0; part < NumParts(task); ++part) {
      RETURN_IF_ERROR(CheckKernel(t, PartOf(task, part)));
    }
    return absl::OkStatus();
  }
  if (!task.op().empty() || task.attributes_size() > 0 || task.parts() > 0 ||
      task.mutates_size() > 0 || task.workspace_bytes() > 0 || task.once()) {
    return TaskError(plan_, t,
                     "a collective has no op, parts, attributes, updates or "
                     "workspace, and runs every step");
  }
  return CheckInPlace(t, nullptr);
}

}  // namespace facet::placement
