// What the search's choices hold of the memory between the forward and the
// backward pass, and what that costs at a price.

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "placement/passes/sbp_problem.h"

namespace facet::placement {

using ops::NdSbp;
using ops::NodeId;
using ops::TensorId;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

void SbpProblem::FindHeld() {
  const Activations activations(graph_, lookup_);
  for (size_t t = 0; t < graph_.tensors.size(); ++t) {
    saved_.push_back(activations.saved(static_cast<TensorId>(t)));
  }
  if (rules_.keeping == Keeping::kAll) return;
  for (Recomputable& r :
       FindRecomputable(graph_, cluster_.devices.front(), lookup_)) {
    recomputable_[r.tensor] = std::move(r.nodes);
  }
}

double SbpProblem::Bytes(TensorId tensor, const NdSbp& sbp) {
  const ops::TensorType& type = graph_.tensors[tensor].type;
  const std::vector<int64_t> dims(type.shape.dims().begin(),
                                  type.shape.dims().end());
  auto [it, is_new] = bytes_.try_emplace({type.dtype, dims, sbp}, 0.0);
  if (is_new) {
    it->second = static_cast<double>(
        ops::LocalRegion(type.shape, sbp, mesh_, 0).shape.num_elements() *
        ops::SizeInBytes(type.dtype));
  }
  return it->second;
}

double SbpProblem::AgainSeconds(TensorId tensor, int label) const {
  const auto it = recomputable_.find(tensor);
  if (it == recomputable_.end()) return kInfinity;
  double seconds = problem_.unary[it->second[0]][label];
  // What it is computed from has labels of its own: the best of them.
  for (size_t i = 1; i < it->second.size(); ++i) {
    const std::vector<double>& other = problem_.unary[it->second[i]];
    seconds += *std::min_element(other.begin(), other.end());
  }
  return seconds;
}

SbpProblem::Held SbpProblem::HeldAsProduced(TensorId tensor, int label) {
  Held held;
  const double bytes = Bytes(tensor, Produced(tensor, label));
  if (IsVariable(tensor)) {
    held.bytes = bytes;
  } else if (saved_[tensor]) {
    held.may_go = bytes;
    held.again = AgainSeconds(tensor, label);
  }
  return held;
}

void SbpProblem::HoldAsProduced(TensorId tensor) {
  if (!IsVariable(tensor) && !saved_[tensor]) return;
  const NodeId producer = graph_.tensors[tensor].producer;
  HeldTable table{tensor, producer, -1, {}};
  for (size_t l = 0; l < labels_[producer].size(); ++l) {
    table.entries.push_back(HeldAsProduced(tensor, static_cast<int>(l)));
  }
  held_.push_back(std::move(table));
}

void SbpProblem::HoldShared(TensorId tensor, int variable,
                            const std::vector<Boxed>& choices,
                            const std::vector<double>& boxing_seconds) {
  if (!IsVariable(tensor) && !saved_[tensor]) return;
  // What was boxed for the forward pass is there for the backward pass, too. Of
  // the two versions the larger counts: which one is read there is not known.
  const std::vector<Reader>& readers = readers_[tensor];
  auto read_by = [&](bool forward) {
    return std::any_of(readers.begin(), readers.end(), [&](const Reader& r) {
      const ops::Phase phase = graph_.nodes[r.node].origin.phase;
      return forward ? IsForward(graph_.nodes[r.node])
                     : phase == ops::Phase::kBackward;
    });
  };
  const bool stays_boxed = read_by(true) && read_by(false);
  const NodeId producer = graph_.tensors[tensor].producer;
  HeldTable table{tensor, producer, variable, {}};
  for (size_t l = 0; l < labels_[producer].size(); ++l) {
    const int p = static_cast<int>(l);
    for (size_t c = 0; c < choices.size(); ++c) {
      const Boxed& choice = choices[c];
      Held held;
      if (Produced(tensor, p) == choice.from) {
        held = HeldAsProduced(tensor, p);
        if (choice.from != choice.to) {
          // A copy would have to be boxed again.
          held.again = kInfinity;
          if (stays_boxed) {
            held.may_go = std::max(held.may_go, Bytes(tensor, choice.to));
            // But of a parameter the share is there all the time.
            held.gathered = split_root_[tensor] != ops::kNone;
            if (held.gathered) held.again = boxing_seconds[c];
          }
        }
      }
      table.entries.push_back(held);
    }
  }
  held_.push_back(std::move(table));
}

bool SbpProblem::Goes(const Held& held, double price) const {
  if (held.again == kInfinity) return false;
  return IsInAnyCase(held) || held.may_go * price > held.again;
}

const SbpProblem::Held& SbpProblem::EntryOf(
    const HeldTable& table, const std::vector<int>& labels) const {
  size_t entry = labels[table.a];
  if (table.b >= 0) {
    entry = entry * problem_.unary[table.b].size() + labels[table.b];
  }
  return table.entries[entry];
}

PairwiseProblem SbpProblem::AtPrice(double seconds_per_byte) const {
  PairwiseProblem priced = problem_;
  for (const HeldTable& table : held_) {
    std::vector<double> costs;
    for (const Held& held : table.entries) {
      double cost = held.bytes * seconds_per_byte;
      if (!Goes(held, seconds_per_byte)) {
        cost += held.may_go * seconds_per_byte;
      } else if (!IsInAnyCase(held)) {
        cost += held.again;
      }
      costs.push_back(cost);
    }
    if (table.b >= 0) {
      priced.pairs.push_back({table.a, table.b, std::move(costs)});
      continue;
    }
    for (size_t l = 0; l < costs.size(); ++l) {
      priced.unary[table.a][l] += costs[l];
    }
  }
  return priced;
}

SbpProblem::Totals SbpProblem::TotalsOf(const std::vector<int>& labels,
                                        double price) const {
  Totals totals;
  for (size_t v = 0; v < labels.size(); ++v) {
    totals.seconds += problem_.unary[v][labels[v]];
  }
  for (const PairwiseProblem::Pair& pair : problem_.pairs) {
    const size_t columns = problem_.unary[pair.b].size();
    totals.seconds += pair.cost[labels[pair.a] * columns + labels[pair.b]];
  }
  for (const HeldTable& table : held_) {
    const Held& held = EntryOf(table, labels);
    const bool goes = Goes(held, price);
    totals.held_bytes += held.bytes + (goes ? 0 : held.may_go);
    if (goes) totals.seconds += held.again;
  }
  return totals;
}

}  // namespace facet::placement
