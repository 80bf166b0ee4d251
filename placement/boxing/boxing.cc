#include "placement/boxing/boxing.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/status_macros.h"

namespace facet::placement {
namespace {

using ops::LocalRegion;
using ops::Region;
using ops::Sbp;
using ops::Shape;
using ops::TensorType;

std::string ToString(const Location& location) {
  return absl::StrCat(location.sbp.ToString(), " on {",
                      absl::StrJoin(location.devices, ", "), "}");
}

void AppendBox(const Shape& offset, const Shape& extent,
               std::vector<int64_t>* regions) {
  regions->insert(regions->end(), offset.dims().begin(), offset.dims().end());
  regions->insert(regions->end(), extent.dims().begin(), extent.dims().end());
}

// `box` in the coordinates of `share`.
Shape Relative(const Region& box, const Region& share) {
  Shape offset = box.offset;
  for (int i = 0; i < offset.rank(); ++i) offset[i] -= share.offset[i];
  return offset;
}

// The common part; extents are 0 where there is none.
Region Intersect(const Region& a, const Region& b) {
  Region both = a;
  for (int i = 0; i < a.shape.rank(); ++i) {
    const int64_t begin = std::max(a.offset[i], b.offset[i]);
    const int64_t end =
        std::min(a.offset[i] + a.shape[i], b.offset[i] + b.shape[i]);
    both.offset[i] = begin;
    both.shape[i] = std::max<int64_t>(0, end - begin);
  }
  return both;
}

// Builds a program value by value and task by task.
class Lowering {
 public:
  Lowering(const TensorType& type, const Location& from, const Location& to)
      : type_(type), from_(from), to_(to) {
    for (int r = 0; r < from_count(); ++r) {
      program_.inputs.push_back(AddValue(from.devices[r], SourceRegion(r)));
    }
  }

  BoxingProgram SameDevices();
  BoxingProgram OtherDevices();

 private:
  int from_count() const { return static_cast<int>(from_.devices.size()); }
  int to_count() const { return static_cast<int>(to_.devices.size()); }
  Region SourceRegion(int rank) const {
    return LocalRegion(type_.shape, from_.sbp, from_count(), rank);
  }
  Region TargetRegion(int rank) const {
    return LocalRegion(type_.shape, to_.sbp, to_count(), rank);
  }

  int AddValue(int device, Region region) {
    program_.values.push_back({device, std::move(region), false});
    return static_cast<int>(program_.values.size()) - 1;
  }
  int AddPackingBuffer(int device, int64_t elements) {
    program_.values.push_back({device, {Shape{0}, Shape{elements}}, true});
    return static_cast<int>(program_.values.size()) - 1;
  }

  void AddPack(int device, int input, int output,
               std::vector<int64_t> regions) {
    BoxingTask task;
    task.device = device;
    task.op = "pack_regions";
    task.attributes.Set("regions", std::move(regions));
    task.input = input;
    task.output = output;
    program_.tasks.push_back(std::move(task));
  }

  // Writes the pieces of `input` into boxes of `output`. Elements outside of
  // the boxes get the identity of the target's partial kind.
  void AddUnpack(int device, int input, int output,
                 std::vector<int64_t> regions, ReduceKind reduce) {
    const Region& region = program_.values[output].region;
    BoxingTask task;
    task.device = device;
    task.op = "unpack_regions";
    const ReduceKind partial = ReduceOf(to_.sbp);
    const char* fill = "none";
    if (partial == ReduceKind::kMax || reduce == ReduceKind::kMax) {
      fill = "lowest";
    } else if (partial == ReduceKind::kSum || reduce == ReduceKind::kSum) {
      fill = "zero";
    }
    const char* combine = reduce == ReduceKind::kSum   ? "sum"
                          : reduce == ReduceKind::kMax ? "max"
                                                       : "assign";
    task.attributes.Set("regions", std::move(regions));
    task.attributes.Set("fill", std::string(fill));
    task.attributes.Set("combine", std::string(combine));
    task.attributes.Set("shape",
                        std::vector<int64_t>(region.shape.dims().begin(),
                                             region.shape.dims().end()));
    task.attributes.Set("dtype", std::string(ops::DataTypeName(type_.dtype)));
    task.input = input;
    task.output = output;
    program_.tasks.push_back(std::move(task));
  }

  void AddCollective(int device, int input, int output,
                     std::vector<int64_t> counts,
                     std::vector<int64_t> receive_counts) {
    BoxingTask task;
    task.device = device;
    task.input = input;
    task.output = output;
    task.counts = std::move(counts);
    task.receive_counts = std::move(receive_counts);
    program_.tasks.push_back(std::move(task));
  }

  // Of the finished program.
  void CountBytes();

  const TensorType& type_;
  const Location& from_;
  const Location& to_;
  BoxingProgram program_;
};

void Lowering::CountBytes() {
  std::map<int, int64_t> sent, local;  // Elements, by device.
  auto elements = [&](int value) {
    return value == ops::kNone
               ? 0
               : program_.values[value].region.shape.num_elements();
  };
  const int64_t total = type_.shape.num_elements();
  const int k = static_cast<int>(program_.group.size());
  for (const BoxingTask& task : program_.tasks) {
    if (!task.op.empty()) {
      // A pack reads the boxes that it writes, not all of its input.
      const int64_t read = task.op == "pack_regions" ? elements(task.output)
                                                     : elements(task.input);
      local[task.device] += read + elements(task.output);
      continue;
    }
    int64_t& out = sent[task.device];
    switch (program_.kind) {
      case CollectiveKind::kNone:
        break;
      case CollectiveKind::kAllReduce:
        // A reduce-scatter of even pieces and an all-gather of the results.
        out = 2 * (total - ops::ShardRange(total, k, k - 1).size());
        break;
      case CollectiveKind::kAllGather:
      case CollectiveKind::kReduceScatter:
        // In a ring one piece stays: the smallest, on the busiest device.
        out = total - *std::min_element(task.counts.begin(), task.counts.end());
        break;
      case CollectiveKind::kAllToAll:
        for (int q = 0; q < k; ++q) {
          if (program_.group[q] != task.device) out += task.counts[q];
        }
        break;
    }
  }
  auto most = [&](const std::map<int, int64_t>& by_device) {
    int64_t count = 0;
    for (const auto& [device, n] : by_device) count = std::max(count, n);
    return count * ops::SizeInBytes(type_.dtype);
  };
  program_.bytes_per_device = most(sent);
  program_.local_bytes_per_device = most(local);
}

BoxingProgram Lowering::SameDevices() {
  const int k = from_count();
  const Sbp from = from_.sbp, to = to_.sbp;
  std::vector<TransitionSteps> steps;  // By rank.
  for (int r = 0; r < k; ++r) {
    steps.push_back(StepsOf(type_.shape, from, to, k, r));
  }
  program_.kind = steps[0].kind;
  program_.reduce = steps[0].reduce;
  if (program_.kind != CollectiveKind::kNone) program_.group = from_.devices;

  // Where each stage's result is, by rank.
  std::vector<int> at = program_.inputs;

  // Pack: what goes to rank q is box q.
  std::vector<std::vector<int64_t>> counts(k);
  for (int r = 0; r < k; ++r) {
    const Region share = SourceRegion(r);
    if (to.is_split() && !from.is_broadcast()) {
      std::vector<int64_t> regions;
      for (int q = 0; q < k; ++q) {
        const Region box = Intersect(share, TargetRegion(q));
        counts[r].push_back(box.shape.num_elements());
        AppendBox(Relative(box, share), box.shape, &regions);
      }
      if (steps[r].pack) {
        const int packed =
            AddPackingBuffer(from_.devices[r], share.shape.num_elements());
        AddPack(from_.devices[r], at[r], packed, std::move(regions));
        at[r] = packed;
      }
    } else if (steps[r].pack) {  // B -> S: the slice is the result.
      const Region box = TargetRegion(r);
      const int output = AddValue(from_.devices[r], box);
      std::vector<int64_t> regions;
      AppendBox(box.offset, box.shape, &regions);
      AddPack(from_.devices[r], at[r], output, std::move(regions));
      at[r] = output;
    } else if (from.is_split()) {
      for (int q = 0; q < k; ++q) {
        counts[r].push_back(SourceRegion(q).shape.num_elements());
      }
    }
  }

  if (program_.kind != CollectiveKind::kNone) {
    for (int r = 0; r < k; ++r) {
      const Region target = TargetRegion(r);
      const int output =
          steps[r].unpack
              ? AddPackingBuffer(from_.devices[r], target.shape.num_elements())
              : AddValue(from_.devices[r], target);
      std::vector<int64_t> receive_counts;
      if (program_.kind == CollectiveKind::kAllToAll) {
        for (int q = 0; q < k; ++q) receive_counts.push_back(counts[q][r]);
      }
      // An all-reduce has no counts: everybody has everything.
      AddCollective(from_.devices[r], at[r], output,
                    program_.kind == CollectiveKind::kAllReduce
                        ? std::vector<int64_t>{}
                        : counts[r],
                    std::move(receive_counts));
      at[r] = output;
    }
  }

  for (int r = 0; r < k; ++r) {
    if (!steps[r].unpack) continue;
    const int device = from_.devices[r];
    const Region target = TargetRegion(r);
    std::vector<int64_t> regions;
    if (to.is_partial()) {
      const int output = AddValue(device, target);
      if (from.is_broadcast()) {
        AddUnpack(device, ops::kNone, output, {}, ReduceKind::kNone);
      } else {
        const Region share = SourceRegion(r);
        AppendBox(share.offset, share.shape, &regions);
        AddUnpack(device, at[r], output, std::move(regions), ReduceKind::kNone);
      }
      at[r] = output;
      continue;
    }
    const int output = AddValue(device, target);
    for (int q = 0; q < k; ++q) {
      const Region box = Intersect(SourceRegion(q), target);
      AppendBox(Relative(box, target), box.shape, &regions);
    }
    AddUnpack(device, at[r], output, std::move(regions), ReduceKind::kNone);
    at[r] = output;
  }
  program_.outputs = at;
  CountBytes();
  return std::move(program_);
}

// Other devices, or the same in another order: every target fetches the boxes
// it needs in one all-to-all over the union of the devices.
BoxingProgram Lowering::OtherDevices() {
  const ReduceKind reduce = ReduceOf(from_.sbp);
  program_.reduce = reduce;
  // What source s sends to target t; empty if nothing.
  auto box = [&](int s, int t) -> Region {
    const Region none = {Shape{}, Shape{0}};
    // Only the first holder of a partial result has the value.
    if (to_.sbp.is_partial() && t != 0) return none;
    const Region target = TargetRegion(t);
    if (from_.sbp.is_broadcast()) {
      // The target's own copy, else one that is spread over the holders.
      const auto own =
          std::find(from_.devices.begin(), from_.devices.end(), to_.devices[t]);
      const int holder = own != from_.devices.end()
                             ? static_cast<int>(own - from_.devices.begin())
                             : t % from_count();
      return s == holder ? target : none;
    }
    const Region both = Intersect(SourceRegion(s), target);
    return both.shape.num_elements() > 0 ? both : none;
  };
  auto elements = [](const Region& region) {
    return region.shape.num_elements();
  };

  std::set<int> members;
  bool leaves_device = false;
  for (int s = 0; s < from_count(); ++s) {
    for (int t = 0; t < to_count(); ++t) {
      if (elements(box(s, t)) == 0) continue;
      members.insert(from_.devices[s]);
      members.insert(to_.devices[t]);
      leaves_device |= from_.devices[s] != to_.devices[t];
    }
  }
  if (leaves_device) {
    program_.kind = CollectiveKind::kAllToAll;
    program_.group.assign(members.begin(), members.end());
  }
  auto rank_of = [](const std::vector<int>& devices, int device) {
    const auto it = std::find(devices.begin(), devices.end(), device);
    return it == devices.end() ? ops::kNone
                               : static_cast<int>(it - devices.begin());
  };

  // Pack, by destination in the order of the group.
  const std::vector<int> group(members.begin(), members.end());
  std::vector<int> packed(group.size(), ops::kNone);
  std::vector<std::vector<int64_t>> sent(group.size(),
                                         std::vector<int64_t>(group.size(), 0));
  for (size_t g = 0; g < group.size(); ++g) {
    const int s = rank_of(from_.devices, group[g]);
    if (s == ops::kNone) continue;
    const Region share = SourceRegion(s);
    std::vector<int64_t> regions;
    int64_t total = 0;
    bool whole = false;
    for (size_t h = 0; h < group.size(); ++h) {
      const int t = rank_of(to_.devices, group[h]);
      const Region part = t == ops::kNone ? Region{{}, {0}} : box(s, t);
      if (elements(part) == 0) continue;
      whole = elements(part) == elements(share);
      sent[g][h] = elements(part);
      total += elements(part);
      AppendBox(Relative(part, share), part.shape, &regions);
    }
    if (total == 0) continue;
    if (whole && total == elements(share)) {
      packed[g] = program_.inputs[s];
      continue;
    }
    packed[g] = AddPackingBuffer(group[g], total);
    AddPack(group[g], program_.inputs[s], packed[g], std::move(regions));
  }

  if (leaves_device) {
    std::vector<int> arrived(group.size(), ops::kNone);
    for (size_t g = 0; g < group.size(); ++g) {
      std::vector<int64_t> receive_counts;
      int64_t total = 0;
      for (size_t h = 0; h < group.size(); ++h) {
        receive_counts.push_back(sent[h][g]);
        total += sent[h][g];
      }
      if (total > 0) arrived[g] = AddPackingBuffer(group[g], total);
      AddCollective(group[g], packed[g], arrived[g], sent[g],
                    std::move(receive_counts));
    }
    packed = std::move(arrived);
  }

  for (int t = 0; t < to_count(); ++t) {
    const int device = to_.devices[t];
    const Region target = TargetRegion(t);
    const int g = rank_of(group, device);
    std::vector<int64_t> regions;
    for (size_t h = 0; g != ops::kNone && h < group.size(); ++h) {
      const int s = rank_of(from_.devices, group[h]);
      const Region part = s == ops::kNone ? Region{{}, {0}} : box(s, t);
      if (elements(part) > 0) {
        AppendBox(Relative(part, target), part.shape, &regions);
      }
    }
    // A target that gets nothing (all but the first of a partial result).
    const int input = g == ops::kNone || (to_.sbp.is_partial() && t != 0)
                          ? ops::kNone
                          : packed[g];
    if (input != ops::kNone && input < from_count()) {
      program_.outputs.push_back(input);  // It is there already, whole.
      continue;
    }
    const int output = AddValue(device, target);
    AddUnpack(device, input, output, std::move(regions), reduce);
    program_.outputs.push_back(output);
  }
  CountBytes();
  return std::move(program_);
}

}  // namespace

absl::StatusOr<BoxingProgram> LowerBoxing(const TensorType& type,
                                          const Location& from,
                                          const Location& to) {
  for (const Location* location : {&from, &to}) {
    const std::set<int> distinct(location->devices.begin(),
                                 location->devices.end());
    if (location->devices.empty() ||
        distinct.size() != location->devices.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("boxing of ", type.ToString(), ": ", ToString(*location),
                       " is not a list of different devices"));
    }
  }
  if (!TransitionExists(type, from.sbp, static_cast<int>(from.devices.size()),
                        to.sbp, static_cast<int>(to.devices.size()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("boxing of ", type.ToString(), " from ", ToString(from),
                     " to ", ToString(to), " does not exist"));
  }
  Lowering lowering(type, from, to);
  return from.devices == to.devices ? lowering.SameDevices()
                                    : lowering.OtherDevices();
}

}  // namespace facet::placement
