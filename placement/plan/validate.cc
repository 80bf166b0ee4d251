#include "placement/plan/validate.h"

#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "ops/graph/data_type.h"
#include "ops/graph/layout.h"
#include "ops/graph/nd_sbp.h"
#include "ops/graph/sbp.h"
#include "ops/status_macros.h"
#include "placement/plan/stated_devices.h"
#include "placement/plan/validate_parts.h"

namespace facet::placement {
namespace {

using Dims = google::protobuf::RepeatedField<int64_t>;

constexpr int64_t kAlignment = 64;
// More dimensions than any op has: keeps sums over dims short.
constexpr int kMaxRank = 8;

template <typename... Parts>
absl::Status Error(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("plan: ", parts...));
}

std::string DimsText(const Dims& dims) {
  return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
}

// dims[0] * dims[1] * ... * element_bytes; false if negative or too large.
bool SizeInBytes(const Dims& dims, int64_t element_bytes, int64_t* size) {
  int64_t product = element_bytes;
  for (int64_t dim : dims) {
    if (dim < 0 || __builtin_mul_overflow(product, dim, &product)) {
      return false;
    }
  }
  *size = product;
  return true;
}

absl::Status CheckShape(const Dims& dims, int64_t least_dim) {
  if (dims.size() > kMaxRank) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", dims.size(), ", at most ", kMaxRank));
  }
  for (int64_t dim : dims) {
    if (dim < least_dim) {
      return absl::InvalidArgumentError(absl::StrCat(
          "shape ", DimsText(dims), " has a dimension below ", least_dim));
    }
  }
  int64_t size;
  if (!SizeInBytes(dims, 8, &size)) {
    return absl::InvalidArgumentError(
        absl::StrCat("shape ", DimsText(dims), " is too large"));
  }
  return absl::OkStatus();
}

// Distinct devices of the plan, at least one.
absl::Status CheckDeviceList(
    const Plan& plan, const google::protobuf::RepeatedField<int32_t>& list) {
  if (list.empty()) return absl::InvalidArgumentError("has no devices");
  std::set<int> seen;
  for (int device : list) {
    if (device < 0 || device >= plan.devices_size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("device ", device, " of ", plan.devices_size()));
    }
    if (!seen.insert(device).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("has device ", device, " twice"));
    }
  }
  return absl::OkStatus();
}

bool AreAlike(const Device& a, const Device& b) {
  return a.kind() == b.kind() && a.cores() == b.cores() &&
         a.arena_bytes() == b.arena_bytes() &&
         a.persistent_bytes() == b.persistent_bytes() &&
         a.live_bytes() == b.live_bytes() &&
         a.memory_bytes() == b.memory_bytes();
}

absl::Status CheckDevices(const Plan& plan) {
  if (plan.devices().empty()) return Error("has no devices");
  std::set<std::string> names;
  for (int d = 0; d < plan.devices_size(); ++d) {
    const Device& device = plan.devices(d);
    if (device.kind().empty()) return Error("device ", d, " has no kind");
    if (!names.insert(device.name()).second) {
      return Error("two devices are named \"", device.name(), "\"");
    }
    if (device.cores() < 0) {
      return Error("device ", d, " has ", device.cores(), " cores");
    }
    if (device.persistent_bytes() < 0 ||
        device.persistent_bytes() > device.arena_bytes()) {
      return Error("device ", d, ": persistent_bytes ",
                   device.persistent_bytes(), " not within arena_bytes ",
                   device.arena_bytes());
    }
    if (device.memory_bytes() < 0 ||
        (device.memory_bytes() > 0 &&
         device.arena_bytes() > device.memory_bytes())) {
      return Error("device ", d, ": arena_bytes ", device.arena_bytes(),
                   " not within its memory_bytes ", device.memory_bytes());
    }
    if (device.live_bytes() < 0 || device.live_bytes() > device.arena_bytes()) {
      return Error("device ", d, ": live_bytes ", device.live_bytes(),
                   " not within arena_bytes ", device.arena_bytes());
    }
    if (IsStated(device)) continue;
    if (device.like() < 0 || device.like() >= d ||
        !IsStated(plan.devices(device.like()))) {
      return Error("device ", d, " is like device ", device.like(),
                   ", which is not one before it that is stated");
    }
    if (!AreAlike(device, plan.devices(device.like()))) {
      return Error("device ", d, " is like device ", device.like(),
                   ", but has other figures");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPredictions(const Plan& plan) {
  for (const auto& [name, value] :
       {std::make_pair("predicted_step_seconds", plan.predicted_step_seconds()),
        std::make_pair("search_seconds", plan.search_seconds()),
        std::make_pair("search_lower_bound_seconds",
                       plan.search_lower_bound_seconds())}) {
    if (!(value >= 0) || !std::isfinite(value)) {
      return Error(name, " is ", value, ", not a time");
    }
  }
  if (plan.search_lower_bound_seconds() > plan.search_seconds()) {
    return Error("search_lower_bound_seconds ",
                 plan.search_lower_bound_seconds(), " is above search_seconds ",
                 plan.search_seconds());
  }
  return absl::OkStatus();
}

absl::Status CheckGroups(const Plan& plan) {
  for (int g = 0; g < plan.groups_size(); ++g) {
    const absl::Status status = CheckDeviceList(plan, plan.groups(g).devices());
    if (!status.ok()) return Error("group ", g, ": ", status.message());
  }
  return absl::OkStatus();
}

absl::Status CheckMesh(const Plan& plan) {
  if (plan.mesh().empty()) return absl::OkStatus();
  int64_t places = 1;
  for (const PlanAxis& axis : plan.mesh()) {
    if (axis.size() < 1 || axis.size() > plan.devices_size()) {
      return Error("mesh axis \"", axis.name(), "\" has size ", axis.size(),
                   "; from 1 to the ", plan.devices_size(), " devices");
    }
    if (__builtin_mul_overflow(places, int64_t{axis.size()}, &places)) {
      places = -1;
      break;
    }
  }
  if (places == plan.devices_size()) return absl::OkStatus();
  return Error("the mesh has ", places, " places for ", plan.devices_size(),
               " devices");
}

absl::StatusOr<ops::NdSbp> SbpOf(const LogicalTensor& tensor) {
  ops::NdSbp sbp;
  for (const std::string& text : tensor.sbp()) {
    ASSIGN_OR_RETURN(const ops::Sbp along_axis, ops::ParseSbp(text));
    sbp.push_back(along_axis);
  }
  return sbp;
}

absl::Status CheckTensor(const Plan& plan, const LogicalTensor& tensor) {
  RETURN_IF_ERROR(ops::ParseDataType(tensor.dtype()).status());
  RETURN_IF_ERROR(CheckShape(tensor.shape(), 1));
  RETURN_IF_ERROR(CheckDeviceList(plan, tensor.devices()));
  const ops::Mesh mesh = MeshOfRanks(plan, tensor.devices_size());
  if (tensor.sbp_size() != mesh.num_axes()) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", tensor.sbp_size(), " SBPs on a mesh of ",
                     mesh.num_axes(), " axes (", mesh.ToString(), ")"));
  }
  ASSIGN_OR_RETURN(const ops::NdSbp sbp, SbpOf(tensor));
  const ops::Shape shape(tensor.shape());
  if (!ops::IsShardable(shape, sbp, mesh)) {
    return absl::InvalidArgumentError(
        absl::StrCat(DimsText(tensor.shape()), " cannot be ", sbp.ToString(),
                     " on ", tensor.devices_size(), " devices"));
  }
  return absl::OkStatus();
}

absl::Status CheckPlace(const Device& device, const Register& reg) {
  if (reg.credits() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("credits ", reg.credits(), ", at least 1"));
  }
  if (reg.persistent() && reg.credits() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("is persistent with ", reg.credits(), " credits"));
  }
  if (reg.arena_offset() < 0 || reg.arena_offset() % kAlignment != 0 ||
      reg.slot_stride_bytes() % kAlignment != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "arena_offset ", reg.arena_offset(), " and slot_stride_bytes ",
        reg.slot_stride_bytes(), " must be multiples of ", kAlignment));
  }
  if (reg.slot_stride_bytes() < reg.size_bytes()) {
    return absl::InvalidArgumentError(
        absl::StrCat("slot_stride_bytes ", reg.slot_stride_bytes(),
                     " is less than size_bytes ", reg.size_bytes()));
  }
  int64_t end;
  const bool shared = !reg.persistent() && reg.credits() == 1;
  const int64_t limit =
      shared ? device.arena_bytes() : device.persistent_bytes();
  if (__builtin_mul_overflow(reg.slot_stride_bytes(),
                             int64_t{reg.credits()} - 1, &end) ||
      __builtin_add_overflow(end, reg.size_bytes(), &end) ||
      __builtin_add_overflow(end, reg.arena_offset(), &end) || end > limit) {
    return absl::InvalidArgumentError(absl::StrCat(
        "does not fit: offset ", reg.arena_offset(), ", ", reg.credits(), " x ",
        reg.size_bytes(), " bytes, in ", limit, " bytes of the ",
        shared ? "arena" : "persistent part"));
  }
  if (shared && reg.arena_offset() < device.persistent_bytes()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "lies at ", reg.arena_offset(), ", within the persistent part of ",
        device.persistent_bytes(), " bytes"));
  }
  return absl::OkStatus();
}

absl::Status CheckRegister(const Plan& plan, const Register& reg) {
  if (reg.device() < 0 || reg.device() >= plan.devices_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("device ", reg.device(), " of ", plan.devices_size()));
  }
  if (!IsStated(plan.devices(reg.device()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("is on device ", reg.device(), ", which is like another"));
  }
  if (reg.tensor() < -1 || reg.tensor() >= plan.tensors_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", reg.tensor(), " of ", plan.tensors_size()));
  }
  ASSIGN_OR_RETURN(const ops::DataType dtype, ops::ParseDataType(reg.dtype()));
  ASSIGN_OR_RETURN(const ops::Layout layout, ops::ParseLayout(reg.layout()));
  // A packing buffer may be empty: nothing to send to anybody.
  RETURN_IF_ERROR(CheckShape(reg.shape(), reg.tensor() >= 0 ? 1 : 0));
  RETURN_IF_ERROR(CheckShape(reg.global_shape(), 0));
  const int rank = reg.shape_size();
  if (reg.global_shape_size() != rank || reg.offset_size() != rank) {
    return absl::InvalidArgumentError(
        "shape, global_shape and offset differ in rank");
  }
  for (int i = 0; i < rank; ++i) {
    if (reg.offset(i) < 0 ||
        reg.offset(i) > reg.global_shape(i) - reg.shape(i)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the share ", DimsText(reg.shape()), " at ", DimsText(reg.offset()),
          " is not within ", DimsText(reg.global_shape())));
    }
  }
  if (layout != ops::Layout::kRowMajor &&
      (rank != 4 || reg.shape(1) % ops::ChannelBlock(layout) != 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "shape ", DimsText(reg.shape()), " cannot have layout ", reg.layout()));
  }
  if (reg.tensor() >= 0) {
    const LogicalTensor& tensor = plan.tensors(reg.tensor());
    if (tensor.dtype() != reg.dtype() ||
        DimsText(tensor.shape()) != DimsText(reg.global_shape())) {
      return absl::InvalidArgumentError(absl::StrCat(
          reg.dtype(), DimsText(reg.global_shape()), " is not tensor ",
          tensor.name(), ", ", tensor.dtype(), DimsText(tensor.shape())));
    }
  }
  int64_t size = 0;
  if (!SizeInBytes(reg.shape(), ops::SizeInBytes(dtype), &size) ||
      size != reg.size_bytes()) {
    return absl::InvalidArgumentError(
        absl::StrCat("size_bytes ", reg.size_bytes(), ", but ", reg.dtype(),
                     DimsText(reg.shape()), " has ", size));
  }
  return CheckPlace(plan.devices(reg.device()), reg);
}

// Checkpoints put a variable together from its shares.
absl::Status CheckVariables(const Plan& plan) {
  std::vector<std::vector<int>> registers(plan.tensors_size());
  for (int r = 0; r < plan.registers_size(); ++r) {
    const Register& reg = plan.registers(r);
    if (reg.tensor() >= 0 && reg.persistent()) {
      registers[reg.tensor()].push_back(r);
    }
  }
  std::set<std::string> names;
  for (int t = 0; t < plan.tensors_size(); ++t) {
    const LogicalTensor& tensor = plan.tensors(t);
    if (!tensor.variable()) continue;
    auto error = [&](const auto&... parts) {
      return Error("variable ", tensor.name(), ": ", parts...);
    };
    if (!names.insert(tensor.name()).second) return error("comes twice");
    const int k = tensor.devices_size();
    const ops::Shape shape(tensor.shape());
    const ops::NdSbp sbp = *SbpOf(tensor);
    const ops::Mesh mesh = MeshOfRanks(plan, k);
    std::vector<int> by_rank(k, -1);
    for (int r : registers[t]) {
      const Register& reg = plan.registers(r);
      int rank = 0;
      while (rank < k && tensor.devices(rank) != reg.device()) ++rank;
      if (rank == k) return error(RegisterLabel(plan, r), " is elsewhere");
      if (by_rank[rank] >= 0) {
        return error("device ", reg.device(), " has two registers of it");
      }
      by_rank[rank] = r;
      const ops::Region region = ops::LocalRegion(shape, sbp, mesh, rank);
      if (region.shape != ops::Shape(reg.shape()) ||
          region.offset != ops::Shape(reg.offset())) {
        return error(RegisterLabel(plan, r), " holds ", DimsText(reg.shape()),
                     " at ", DimsText(reg.offset()), "; ", sbp.ToString(),
                     " gives it ", region.shape.ToString(), " at ",
                     region.offset.ToString());
      }
    }
    for (int rank = 0; rank < k; ++rank) {
      if (by_rank[rank] < 0 && IsStated(plan.devices(tensor.devices(rank)))) {
        return error("device ", tensor.devices(rank),
                     " has no persistent register of it");
      }
    }
  }
  return absl::OkStatus();
}

// Each alone, by the rules for all tasks and some more.
absl::Status CheckSettleTasks(const Plan& plan, ops::OpLookup lookup) {
  if (plan.settle_tasks().empty()) return absl::OkStatus();
  Plan settle = plan;
  *settle.mutable_tasks() = plan.settle_tasks();
  TaskChecker checker(settle, lookup);
  for (int t = 0; t < settle.tasks_size(); ++t) {
    RETURN_IF_ERROR(checker.Check(t));
    const Task& task = settle.tasks(t);
    if (task.has_collective() || task.once() || !task.outputs().empty() ||
        !task.waits().empty() || task.workspace_bytes() > 0) {
      return TaskError(settle, t,
                       "is run between steps: it cannot be a collective or "
                       "once, nor have outputs, waits or a workspace");
    }
    for (int r : task.inputs()) {
      if (plan.registers(r).persistent()) continue;
      return TaskError(settle, t, "is run between steps, but ",
                       RegisterLabel(plan, r), " is not persistent");
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string TaskLabel(const Plan& plan, int task) {
  const Task& t = plan.tasks(task);
  return absl::StrCat("task ", task, " ", t.name(), " (",
                      t.has_collective() ? "collective" : t.op(), ", device ",
                      t.device(), ")");
}

std::string RegisterLabel(const Plan& plan, int reg) {
  return absl::StrCat("register ", reg, " ", plan.registers(reg).name());
}

ops::Mesh MeshOfRanks(const Plan& plan, int num_ranks) {
  if (plan.mesh().empty() || num_ranks != plan.devices_size()) {
    return {{num_ranks}};
  }
  ops::Mesh mesh;
  for (const PlanAxis& axis : plan.mesh()) mesh.sizes.push_back(axis.size());
  return mesh;
}

absl::Status ValidatePlan(const Plan& plan, ops::OpLookup lookup) {
  if (plan.version() != kPlanVersion) {
    return Error("has version ", plan.version(),
                 "; this program reads version ", kPlanVersion,
                 " (compile it again)");
  }
  RETURN_IF_ERROR(CheckPredictions(plan));
  RETURN_IF_ERROR(CheckDevices(plan));
  RETURN_IF_ERROR(CheckMesh(plan));
  RETURN_IF_ERROR(CheckGroups(plan));
  for (int t = 0; t < plan.tensors_size(); ++t) {
    const absl::Status status = CheckTensor(plan, plan.tensors(t));
    if (!status.ok()) {
      return Error("tensor ", t, " ", plan.tensors(t).name(), ": ",
                   status.message());
    }
  }
  for (int r = 0; r < plan.registers_size(); ++r) {
    const absl::Status status = CheckRegister(plan, plan.registers(r));
    if (!status.ok()) {
      return Error(RegisterLabel(plan, r), ": ", status.message());
    }
  }
  RETURN_IF_ERROR(CheckVariables(plan));
  TaskChecker checker(plan, lookup);
  for (int t = 0; t < plan.tasks_size(); ++t) {
    RETURN_IF_ERROR(checker.Check(t));
  }
  RETURN_IF_ERROR(CheckSettleTasks(plan, lookup));
  RegisterUses uses;
  RETURN_IF_ERROR(CheckUses(plan, &uses));
  RETURN_IF_ERROR(CheckCollectives(plan));
  const std::vector<FiringEdge> edges = FiringEdges(plan);
  std::vector<int> order;
  RETURN_IF_ERROR(CheckFiring(plan, edges, &order));
  return CheckLifetimes(plan, uses, edges, order);
}

}  // namespace facet::placement
