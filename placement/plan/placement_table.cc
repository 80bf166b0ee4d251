#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "placement/plan/firing.h"
#include "placement/plan/memory_kinds.h"
#include "placement/plan/plan_text.h"

namespace facet::placement {
namespace {

constexpr double kMiB = 1 << 20;

// "12,845,568"
std::string Grouped(int64_t value) {
  std::string text = absl::StrCat(value);
  for (int i = static_cast<int>(text.size()) - 3; i > 0; i -= 3) {
    text.insert(i, 1, ',');
  }
  return text;
}

std::string Cut(std::string text, size_t width) {
  if (text.size() > width) text = text.substr(0, width - 2) + "..";
  return text;
}

template <typename Dims>
std::string ShapeText(const Dims& dims) {
  return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
}

// A row: the variables of one piece of the model, "layer1" of "layer1.0.conv1".
struct Piece {
  std::string name;
  int64_t variables = 0;
  int64_t elements = 0;
  int64_t bytes_per_device = 0;  // The most of any device.
  std::set<std::string> sbps;
  int largest = -1;  // Tensor.
  int64_t largest_elements = -1;
};

// What each device holds of a tensor, by device.
using Shares = std::vector<std::vector<const Register*>>;  // By tensor.

std::vector<Piece> FindPieces(const Plan& plan, const Shares& shares) {
  // State of the optimizer is initialised by tasks of its phase.
  std::vector<bool> of_optimizer(plan.tensors_size(), false);
  for (const Task& task : plan.tasks()) {
    if (!task.once() || task.phase() != "optimizer") continue;
    for (int r : task.outputs()) {
      const int tensor = plan.registers(r).tensor();
      if (tensor >= 0) of_optimizer[tensor] = true;
    }
  }
  std::vector<Piece> pieces;
  std::map<std::string, int> index;
  Piece optimizer;
  optimizer.name = "optimizer state";
  std::map<std::pair<int, int>, int64_t> bytes;  // By (piece, device).
  for (int t = 0; t < plan.tensors_size(); ++t) {
    const LogicalTensor& tensor = plan.tensors(t);
    if (!tensor.variable()) continue;
    int p = -1;
    if (!of_optimizer[t]) {
      const std::string name = tensor.layer().substr(
          0, std::min(tensor.layer().find('.'), tensor.layer().find('/')));
      auto [it, is_new] = index.emplace(name, pieces.size());
      if (is_new) {
        pieces.emplace_back();
        pieces.back().name = name;
      }
      p = it->second;
    }
    Piece& piece = p < 0 ? optimizer : pieces[p];
    int64_t elements = 1;
    for (int64_t dim : tensor.shape()) elements *= dim;
    ++piece.variables;
    piece.elements += elements;
    piece.sbps.insert(absl::StrJoin(tensor.sbp(), ","));
    if (elements > piece.largest_elements) {
      piece.largest = t;
      piece.largest_elements = elements;
    }
    for (const Register* reg : shares[t]) {
      int64_t& sum = bytes[{p, reg->device()}];
      sum += reg->size_bytes();
      piece.bytes_per_device = std::max(piece.bytes_per_device, sum);
    }
  }
  if (optimizer.variables > 0) pieces.push_back(std::move(optimizer));
  return pieces;
}

std::string VariableRows(const Plan& plan) {
  Shares shares(plan.tensors_size());
  for (const Register& reg : plan.registers()) {
    if (reg.tensor() >= 0 && reg.persistent()) {
      shares[reg.tensor()].push_back(&reg);
    }
  }
  const std::vector<Piece> pieces = FindPieces(plan, shares);
  if (pieces.empty()) return "";
  std::string text = absl::StrFormat("%-16s %5s %14s  %-9s %-36s %12s\n",
                                     "variables", "count", "elements", "sbp",
                                     "largest -> on a device", "MiB/device");
  for (const Piece& piece : pieces) {
    const LogicalTensor& largest = plan.tensors(piece.largest);
    std::string shape = ShapeText(largest.shape());
    // Uneven splits: the first device has the most.
    if (!shares[piece.largest].empty()) {
      absl::StrAppend(&shape, " -> ",
                      ShapeText(shares[piece.largest][0]->shape()));
    }
    absl::StrAppend(
        &text, absl::StrFormat("%-16s %5d %14s  %-9s %-36s %12.1f\n",
                               Cut(piece.name, 16), piece.variables,
                               Grouped(piece.elements),
                               Cut(absl::StrJoin(piece.sbps, ", "), 9),
                               Cut(shape, 36), piece.bytes_per_device / kMiB));
  }
  return text;
}

std::string CollectiveRows(const Plan& plan) {
  // One member speaks for all: the first device of the group.
  struct Sum {
    int64_t count = 0;
    int64_t bytes = 0;
  };
  // (transition, kind, part, phase)
  using Key = std::tuple<std::string, std::string, std::string, std::string>;
  std::map<Key, Sum> sums;
  Sum total;
  for (const Task& task : plan.tasks()) {
    if (!task.has_collective() || task.rank() != 0) continue;
    std::string kind = Collective::Kind_Name(task.collective().kind());
    for (char& c : kind) c = c == '_' ? '-' : static_cast<char>(c | 0x20);
    Sum& sum =
        sums[{task.collective().transition(), kind, task.part(), task.phase()}];
    for (Sum* s : {&sum, &total}) {
      ++s->count;
      s->bytes += task.collective().bytes() / Every(task);
    }
  }
  if (sums.empty()) return "collectives: none\n";
  std::string text =
      absl::StrFormat("%-22s %-15s %-14s %-10s %6s %20s\n", "collectives",
                      "kind", "part", "phase", "count", "MiB/device and step");
  for (const auto& [key, sum] : sums) {
    absl::StrAppend(&text,
                    absl::StrFormat("%-22s %-15s %-14s %-10s %6d %20.3f\n",
                                    Cut(std::get<0>(key), 22), std::get<1>(key),
                                    Cut(std::get<2>(key), 14), std::get<3>(key),
                                    sum.count, sum.bytes / kMiB));
  }
  absl::StrAppend(
      &text, absl::StrFormat("%-22s %-15s %-14s %-10s %6d %20.3f\n", "all", "",
                             "", "", total.count, total.bytes / kMiB));
  return text;
}

std::string MemoryRows(const Plan& plan) {
  std::string text =
      absl::StrFormat("%-22s %12s %12s %12s %12s %12s\n", "memory, MiB",
                      "persistent", "step", "arena", "least", "arena/least");
  for (const MemoryKind& kind : MemoryKinds(plan)) {
    const Device& device = plan.devices(kind.device);
    const double live = std::max<int64_t>(1, device.live_bytes());
    absl::StrAppend(
        &text, absl::StrFormat(
                   "%-22s %12.1f %12.1f %12.1f %12.1f %12.4f\n",
                   Cut(kind.name, 22), device.persistent_bytes() / kMiB,
                   (device.arena_bytes() - device.persistent_bytes()) / kMiB,
                   device.arena_bytes() / kMiB, device.live_bytes() / kMiB,
                   device.arena_bytes() / live));
  }
  return text;
}

}  // namespace

std::string MadeAgainText(const Recomputation& again) {
  std::vector<std::string> parts;
  if (again.logits()) parts.push_back("the head's logits");
  if (again.bytes() > 0) {
    parts.push_back(absl::StrFormat(
        "%d activations, %d gathered parameters, %.1f MiB/device, predicted "
        "%.4g s a step",
        again.tensors(), again.gathered(), again.bytes() / kMiB,
        again.seconds()));
  }
  return absl::StrJoin(parts, "; ");
}

std::string PlacementTable(const Plan& plan) {
  const Device& first = plan.devices(0);
  std::string text = absl::StrCat(
      plan.name().empty() ? "plan" : plan.name(), ": ", plan.devices_size(),
      " x ", first.kind(),
      first.cores() > 0 ? absl::StrCat(" of ", first.cores(), " cores") : "",
      absl::StrFormat(", predicted %.4g s a step\n",
                      plan.predicted_step_seconds()));
  absl::StrAppend(&text, VariableRows(plan), CollectiveRows(plan),
                  MemoryRows(plan));
  if (plan.has_recomputation()) {
    absl::StrAppend(&text, "made again for the backward pass: ",
                    MadeAgainText(plan.recomputation()), "\n");
  }
  return text;
}

}  // namespace facet::placement
