#include "runtime/variables.h"

#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/status_macros.h"
#include "runtime/actor/task_runner.h"
#include "runtime/variable_rows.h"

namespace facet::runtime {

Variables::Variables(const placement::Plan& plan,
                     const std::vector<Device*>& devices,
                     std::vector<char*> arenas, ProcessGroup* processes,
                     std::function<absl::Status()> interrupted)
    : plan_(plan),
      devices_(devices),
      arenas_(std::move(arenas)),
      processes_(processes),
      interrupted_(std::move(interrupted)) {
  for (int r = 0; r < plan_.registers_size(); ++r) {
    const placement::Register& reg = plan_.registers(r);
    if (!reg.persistent() || reg.tensor() < 0) continue;
    shares_[plan_.tensors(reg.tensor()).name()].push_back(r);
  }
}

std::vector<std::string> Variables::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, shares] : shares_) names.push_back(name);
  return names;
}

absl::StatusOr<const Variables::Shares*> Variables::Find(
    absl::string_view name) const {
  auto it = shares_.find(std::string(name));
  if (it != shares_.end()) return &it->second;
  std::vector<std::string> some;
  for (const auto& [known, shares] : shares_) {
    if (some.size() < 10) some.push_back(known);
  }
  return absl::NotFoundError(
      absl::StrCat("the plan has no variable \"", name, "\"; it has ",
                   shares_.size(), ", such as ", absl::StrJoin(some, ", ")));
}

absl::StatusOr<ops::TensorType> Variables::TypeOf(
    absl::string_view name) const {
  ASSIGN_OR_RETURN(const Shares* shares, Find(name));
  const ops::TensorSlice slice =
      RegisterSlice(plan_.registers(shares->front()));
  return ops::TensorType{slice.dtype, slice.global_shape};
}

Variables::Role Variables::RoleOf(const placement::Register& reg) const {
  const placement::LogicalTensor& tensor = plan_.tensors(reg.tensor());
  Role role;
  int rest = reg.device();  // Its coordinates: the last axis varies fastest.
  for (int a = tensor.sbp_size() - 1; a >= 0; --a) {
    const int size =
        plan_.mesh_size() > 0 ? plan_.mesh(a).size() : plan_.devices_size();
    const bool first = rest % size == 0;
    rest /= size;
    const bool partial = absl::StartsWith(tensor.sbp(a), "P");
    role.partial = role.partial || partial;
    role.sums = role.sums && (!partial || tensor.sbp(a) == "P(sum)");
    role.adds_nothing = role.adds_nothing || (partial && !first);
    role.repeats = role.repeats || (tensor.sbp(a) == "B" && !first);
  }
  return role;
}

template <typename Visit>
absl::Status Variables::ForShares(absl::string_view name, int64_t begin,
                                  int64_t end, const Visit& visit) const {
  ASSIGN_OR_RETURN(const Shares* shares, Find(name));
  ASSIGN_OR_RETURN(const ops::TensorType type, TypeOf(name));
  const int64_t all = NumRows(type.shape);
  if (begin < 0 || begin > end || end > all) {
    return absl::OutOfRangeError(absl::StrCat("rows ", begin, " to ", end,
                                              " of variable ", name,
                                              ", which has ", all));
  }
  for (int id : *shares) {
    const placement::Register& reg = plan_.registers(id);
    const RowsOfShare rows = RowsInShare(RegisterSlice(reg), begin, end);
    if (rows.slice.num_elements() == 0) continue;
    RETURN_IF_ERROR(
        visit(Share{reg.device(), RoleOf(reg),
                    reg.arena_offset() + rows.first_byte, rows.slice}));
  }
  return absl::OkStatus();
}

absl::Status Variables::ToProcess0(const Share& share, char* to) const {
  const int owner =
      ProcessOfDevice(share.device, plan_.devices_size(), processes_);
  const int64_t bytes = share.slice.size_bytes();
  const bool is_here = owner == ThisProcess();
  std::vector<char> sent(is_here && owner != 0 ? bytes : 0);
  if (is_here) {
    RETURN_IF_ERROR(devices_[share.device]->CopyToHost(
        arenas_[share.device] + share.arena_offset,
        owner == 0 ? to : sent.data(), bytes));
  }
  if (owner == 0) return absl::OkStatus();
  if (is_here) {
    return processes_->Exchange({{0, 0, sent.data(), bytes}}, {}, interrupted_);
  }
  return ThisProcess() == 0
             ? processes_->Exchange({}, {{owner, 0, to, bytes}}, interrupted_)
             : absl::OkStatus();
}

absl::Status Variables::FromProcess0(const Share& share,
                                     const char* from) const {
  const int owner =
      ProcessOfDevice(share.device, plan_.devices_size(), processes_);
  const int64_t bytes = share.slice.size_bytes();
  std::vector<char> received;
  if (owner != ThisProcess()) {
    return ThisProcess() == 0 ? processes_->Exchange({{owner, 0, from, bytes}},
                                                     {}, interrupted_)
                              : absl::OkStatus();
  }
  if (owner != 0) {
    received.resize(bytes);
    RETURN_IF_ERROR(processes_->Exchange({}, {{0, 0, received.data(), bytes}},
                                         interrupted_));
    from = received.data();
  }
  return devices_[share.device]->CopyFromHost(
      from, arenas_[share.device] + share.arena_offset, bytes);
}

absl::Status Variables::Read(absl::string_view name, int64_t begin, int64_t end,
                             char* rows) const {
  bool done = false;
  bool added = false;  // A part of a partial variable.
  return ForShares(name, begin, end, [&](const Share& share) -> absl::Status {
    const ops::TensorSlice& slice = share.slice;
    if (done || share.role.repeats) return absl::OkStatus();
    // Broadcast: the first device's copy is enough.
    done = !share.role.partial && slice.shape == slice.global_shape;
    if (done) return ToProcess0(share, rows);
    if (share.role.partial &&
        (slice.dtype != ops::DataType::kFloat32 || !share.role.sums)) {
      return absl::UnimplementedError(
          absl::StrCat("variable ", name, " lies in parts of ",
                       ops::DataTypeName(slice.dtype),
                       "; only those of float32 sums can be put together"));
    }
    std::vector<char> part(ThisProcess() == 0 ? slice.size_bytes() : 0);
    RETURN_IF_ERROR(ToProcess0(share, part.data()));
    if (ThisProcess() != 0) return absl::OkStatus();
    if (!share.role.partial) {
      ShareToWhole(slice, part.data(), rows);
      return absl::OkStatus();
    }
    if (!std::exchange(added, true)) {
      const ops::TensorType all = {slice.dtype, slice.global_shape};
      std::memset(rows, 0, all.size_bytes());
    }
    AddShareToWhole(slice, part.data(), rows);
    return absl::OkStatus();
  });
}

absl::Status Variables::Write(absl::string_view name, int64_t begin,
                              int64_t end, const char* rows) const {
  return ForShares(name, begin, end, [&](const Share& share) -> absl::Status {
    const ops::TensorSlice& slice = share.slice;
    if (slice.shape == slice.global_shape && !share.role.adds_nothing) {
      return FromProcess0(share, rows);
    }
    std::vector<char> part(ThisProcess() == 0 ? slice.size_bytes() : 0);
    if (ThisProcess() == 0 && !share.role.adds_nothing) {
      WholeToShare(slice, rows, part.data());
    }
    return FromProcess0(share, part.data());
  });
}

}  // namespace facet::runtime
