#include "placement/passes/sbp_problem.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"
#include "placement/cost/op_cost.h"

namespace facet::placement {

using ops::NdSbp;
using ops::NdSignature;
using ops::NodeId;
using ops::Sbp;
using ops::TensorId;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Splits along height or width are not searched: convolutions would have to
// exchange the borders.
bool SplitsImages(const NdSignature& signature) {
  auto splits = [](const NdSbp& sbp) {
    return std::any_of(sbp.begin(), sbp.end(), [](const Sbp& along_axis) {
      return along_axis.is_split() && along_axis.axis >= 2;
    });
  };
  return std::any_of(signature.inputs.begin(), signature.inputs.end(),
                     splits) ||
         std::any_of(signature.outputs.begin(), signature.outputs.end(),
                     splits);
}

// Whole along the axes that have one device.
bool IsSimple(const NdSignature& signature, const ops::Mesh& mesh) {
  auto simple = [&](const NdSbp& sbp) {
    for (int a = 0; a < mesh.num_axes(); ++a) {
      if (mesh.sizes[a] == 1 && !sbp[a].is_broadcast()) return false;
    }
    return true;
  };
  return std::all_of(signature.inputs.begin(), signature.inputs.end(),
                     simple) &&
         std::all_of(signature.outputs.begin(), signature.outputs.end(),
                     simple);
}

// The same along all axes (of more than one device).
bool IsAlike(const NdSbp& sbp, const ops::Mesh& mesh) {
  const Sbp* first = nullptr;
  for (int a = 0; a < mesh.num_axes(); ++a) {
    if (mesh.sizes[a] == 1) continue;
    if (first != nullptr && sbp[a] != *first) return false;
    first = &sbp[a];
  }
  return true;
}

bool IsAlike(const NdSignature& signature, const ops::Mesh& mesh) {
  auto alike = [&](const NdSbp& sbp) { return IsAlike(sbp, mesh); };
  return std::all_of(signature.inputs.begin(), signature.inputs.end(), alike) &&
         std::all_of(signature.outputs.begin(), signature.outputs.end(), alike);
}

// Partial along an axis where it was not.
bool BecomesPartial(const NdSbp& from, const NdSbp& to) {
  for (int a = 0; a < from.num_axes(); ++a) {
    if (to[a].is_partial() && from[a] != to[a]) return true;
  }
  return false;
}

}  // namespace

absl::Status SbpProblem::CollectLabels() {
  // Repeated layers ask for the same costs again and again.
  absl::flat_hash_map<std::string,
                      std::pair<std::vector<NdSignature>, std::vector<double>>>
      cache;
  std::set<std::string> free_parts;
  for (const auto& [name, sbp] : pins_) {
    const TensorId tensor = ops::FindTensor(graph_, name);
    if (tensor == ops::kNone || sbp.num_axes() != mesh_.num_axes() ||
        IsAlike(sbp, mesh_)) {
      continue;
    }
    free_parts.insert(
        graph_.nodes[graph_.tensors[tensor].producer].origin.part);
  }
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    const ops::Node& node = graph_.nodes[n];
    const ops::OpDef& def = *lookup_(node.op);
    const ops::NodeCall types(graph_, static_cast<NodeId>(n));
    const ops::OpCall call = types.call();
    std::string key = node.op;
    for (const auto& type : call.inputs) absl::StrAppend(&key, type.ToString());
    for (const auto& [name, value] : node.attributes.values()) {
      absl::StrAppend(&key, name, ops::AttributeToString(value));
    }
    const bool alike = alike_ && free_parts.count(node.origin.part) == 0;
    if (alike) absl::StrAppend(&key, " alike");
    auto [it, is_new] = cache.try_emplace(key);
    auto& [signatures, seconds] = it->second;
    if (is_new) {
      signatures = ops::LegalNdSignatures(def, call, mesh_);
      signatures.erase(
          std::remove_if(signatures.begin(), signatures.end(), SplitsImages),
          signatures.end());
      // Along an axis of one device all SBPs mean the same.
      signatures.erase(std::remove_if(signatures.begin(), signatures.end(),
                                      [&](const NdSignature& s) {
                                        return !IsSimple(s, mesh_) ||
                                               (alike && !IsAlike(s, mesh_));
                                      }),
                       signatures.end());
      for (const NdSignature& signature : signatures) {
        seconds.push_back(
            OpSeconds(def, call, signature, mesh_, cluster_.devices.front()));
      }
    }
    if (signatures.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(node.name, " (", node.op, ") cannot be placed on ",
                       cluster_.num_devices(),
                       " devices: no signature leaves every device a part"));
    }
    labels_.push_back(signatures);
    problem_.unary.push_back(seconds);
    for (double& each : problem_.unary.back()) each /= node.origin.every;
  }
  return absl::OkStatus();
}

absl::Status SbpProblem::ApplyPins() {
  for (const auto& [name, sbp] : pins_) {
    const TensorId tensor = ops::FindTensor(graph_, name);
    if (tensor == ops::kNone) {
      return absl::InvalidArgumentError(absl::StrCat(
          "pin ", name, ":", sbp.ToString(),
          ": the graph has no tensor of that name (a dump of the passes lists "
          "them)"));
    }
    if (sbp.num_axes() != mesh_.num_axes()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "pin ", name, ":", sbp.ToString(), " says how it lies along ",
          sbp.num_axes(), " axes; the mesh has ", mesh_.num_axes(), " (",
          mesh_.ToString(), "): name an SBP for each, as in ", name, ":",
          NdSbp::Uniform(mesh_.num_axes(), Sbp::B()).ToString()));
    }
    const NodeId node = graph_.tensors[tensor].producer;
    std::set<std::string> possible;
    std::vector<NdSignature> kept;
    std::vector<double> seconds;
    for (size_t l = 0; l < labels_[node].size(); ++l) {
      const NdSbp& produced = Produced(tensor, static_cast<int>(l));
      possible.insert(produced.ToString());
      if (produced != sbp) continue;
      kept.push_back(labels_[node][l]);
      seconds.push_back(problem_.unary[node][l]);
    }
    if (kept.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "pin ", name, ":", sbp.ToString(), " is impossible: ", name, " is ",
          graph_.tensors[tensor].type.ToString(), ", made by ",
          graph_.nodes[node].op, "; on ", cluster_.num_devices(),
          " devices it can be ", absl::StrJoin(possible, ", ")));
    }
    labels_[node] = std::move(kept);
    problem_.unary[node] = std::move(seconds);
  }
  return absl::OkStatus();
}

BoxingRoutes& SbpProblem::RoutesOf(TensorId tensor) {
  const ops::TensorType& type = graph_.tensors[tensor].type;
  const bool compute_waits = ComputeWaitsFor(tensor);
  const std::vector<int64_t> dims(type.shape.dims().begin(),
                                  type.shape.dims().end());
  std::unique_ptr<BoxingRoutes>& routes =
      routes_[{type.dtype, dims, compute_waits}];
  if (routes == nullptr) {
    routes = std::make_unique<BoxingRoutes>(type, cluster_, compute_waits);
  }
  return *routes;
}

bool SbpProblem::ComputeWaitsFor(TensorId tensor) const {
  const std::vector<Reader>& readers = readers_[tensor];
  return std::any_of(
      readers.begin(), readers.end(), [this](const Reader& reader) {
        return graph_.nodes[reader.node].origin.phase != ops::Phase::kOptimizer;
      });
}

double SbpProblem::Reading(TensorId tensor, const NdSbp& from,
                           const NdSbp& to) {
  if (from == to) return 0;
  return Moves(tensor) ? BoxingSeconds(tensor, from, to) : kInfinity;
}

bool SbpProblem::IsMutator(const Reader& reader) const {
  const std::vector<int>& mutates =
      lookup_(graph_.nodes[reader.node].op)->mutates;
  return std::find(mutates.begin(), mutates.end(), reader.input) !=
         mutates.end();
}

void SbpProblem::AddTensor(TensorId tensor) {
  const std::vector<Reader>& readers = readers_[tensor];
  if (readers.size() > 1 && Moves(tensor)) {
    AddSharedTensor(tensor);
    return;
  }
  const NodeId producer = graph_.tensors[tensor].producer;
  const int num_produced = static_cast<int>(labels_[producer].size());
  for (const Reader& reader : readers) {
    PairwiseProblem::Pair pair{producer, reader.node, {}};
    for (int p = 0; p < num_produced; ++p) {
      for (const NdSignature& signature : labels_[reader.node]) {
        const NdSbp& from = Produced(tensor, p);
        const NdSbp& to = signature.inputs[reader.input];
        pair.cost.push_back(from != to && IsMutator(reader)
                                ? kInfinity
                                : Reading(tensor, from, to));
      }
    }
    problem_.pairs.push_back(std::move(pair));
  }
  HoldAsProduced(tensor);
}

void SbpProblem::AddSharedTensor(TensorId tensor) {
  const std::vector<Reader>& readers = readers_[tensor];
  const NodeId producer = graph_.tensors[tensor].producer;
  const int num_produced = static_cast<int>(labels_[producer].size());
  std::set<NdSbp> produced, wanted;
  for (int p = 0; p < num_produced; ++p) produced.insert(Produced(tensor, p));
  for (const Reader& reader : readers) {
    for (const NdSignature& signature : labels_[reader.node]) {
      wanted.insert(signature.inputs[reader.input]);
    }
  }
  std::vector<Boxed> choices;
  std::vector<double> costs;
  for (const NdSbp& from : produced) {
    choices.push_back({from, from});  // Not boxed.
    costs.push_back(0);
    for (const NdSbp& to : wanted) {
      // What is whole or split is not made partial again for several readers.
      if (from == to || BecomesPartial(from, to)) continue;
      const double cost = BoxingSeconds(tensor, from, to);
      if (cost == kInfinity) continue;
      choices.push_back({from, to});
      costs.push_back(cost);
    }
  }
  const int variable = static_cast<int>(problem_.unary.size());
  problem_.unary.push_back(costs);
  PairwiseProblem::Pair make{producer, variable, {}};
  for (int p = 0; p < num_produced; ++p) {
    for (const Boxed& choice : choices) {
      make.cost.push_back(Produced(tensor, p) == choice.from ? 0 : kInfinity);
    }
  }
  problem_.pairs.push_back(std::move(make));
  for (const Reader& reader : readers) {
    PairwiseProblem::Pair read{variable, reader.node, {}};
    for (const Boxed& choice : choices) {
      for (const NdSignature& signature : labels_[reader.node]) {
        const NdSbp& want = signature.inputs[reader.input];
        const bool gets =
            want == choice.from || (want == choice.to && !IsMutator(reader));
        read.cost.push_back(gets ? 0 : kInfinity);
      }
    }
    problem_.pairs.push_back(std::move(read));
  }
  HoldShared(tensor, variable, choices, costs);
}

double SbpProblem::SecondsOfComputeAtLeast() const {
  double sum = 0;
  for (const std::vector<double>& seconds : problem_.unary) {
    sum += *std::min_element(seconds.begin(), seconds.end());
  }
  return sum;
}

SbpProblem::PartSets SbpProblem::PartSetsOf(
    const std::vector<int>& labels) const {
  PartSets sets;
  for (const auto& [part, variable] : variable_of_part_) {
    sets[part] = labels[variable];
  }
  return sets;
}

SbpAssignment SbpProblem::Result(const std::vector<int>& labels, double price) {
  SbpAssignment result;
  const Totals totals = TotalsOf(labels, price);
  result.seconds = totals.seconds;
  result.held_bytes = totals.held_bytes;
  result.seconds_per_byte = price;
  for (const HeldTable& table : held_) {
    const Held& held = EntryOf(table, labels);
    if (Goes(held, price)) {
      result.again.push_back(
          {table.tensor, held.gathered, held.may_go, held.again});
    }
  }
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    result.chosen.push_back(labels_[n][labels[n]]);
  }
  for (const ops::Tensor& tensor : graph_.tensors) {
    result.produced.push_back(
        result.chosen[tensor.producer].outputs[tensor.output_index]);
  }
  for (const ops::Node& node : graph_.nodes) {
    if (!lookup_(node.op)->is_variable || !CanSplit(node)) continue;
    if (IsSplitByRows(result.produced[node.outputs[0]])) {
      result.shared_out.push_back(node.outputs[0]);
    }
  }
  result.routes.resize(graph_.tensors.size());
  for (size_t t = 0; t < graph_.tensors.size(); ++t) {
    const TensorId tensor = static_cast<TensorId>(t);
    for (const Reader& reader : readers_[t]) {
      const NdSbp& want = result.chosen[reader.node].inputs[reader.input];
      if (want == result.produced[t]) continue;
      result.routes[t][want] = RoutesOf(tensor).Route(result.produced[t], want);
    }
  }
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    const ops::Node& node = graph_.nodes[n];
    std::vector<SbpOption> options;
    for (size_t l = 0; l < labels_[n].size(); ++l) {
      SbpOption option{labels_[n][l], problem_.unary[n][l], 0};
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        option.communication_seconds +=
            Reading(node.inputs[i], result.produced[node.inputs[i]],
                    option.signature.inputs[i]);
      }
      for (size_t o = 0; o < node.outputs.size(); ++o) {
        // Once per SBP that its readers want.
        std::set<NdSbp> wanted;
        for (const Reader& reader : readers_[node.outputs[o]]) {
          wanted.insert(result.chosen[reader.node].inputs[reader.input]);
        }
        for (const NdSbp& to : wanted) {
          option.communication_seconds +=
              Reading(node.outputs[o], option.signature.outputs[o], to);
        }
      }
      options.push_back(std::move(option));
    }
    result.options.push_back(std::move(options));
  }
  return result;
}

void SbpProblem::FindParameters() {
  of_parameters_.resize(graph_.tensors.size(), false);
  split_root_.resize(graph_.tensors.size(), ops::kNone);
  for (const ops::Node& node : graph_.nodes) {
    const bool is_variable = lookup_(node.op)->is_variable;
    const bool only_parameters =
        is_variable ||
        (!node.inputs.empty() &&
         std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](TensorId t) { return of_parameters_[t]; }));
    TensorId root = ops::kNone;
    if (is_variable && CanSplit(node)) {
      root = node.outputs[0];
    } else if (only_parameters && node.inputs.size() == 1) {
      root = split_root_[node.inputs[0]];
    }
    for (TensorId t : node.outputs) {
      of_parameters_[t] = only_parameters;
      split_root_[t] = root;
    }
  }
}

absl::Status SbpProblem::Make() {
  every_ = ops::ComputeEvery(graph_);
  FindParameters();
  FindHeld();
  RETURN_IF_ERROR(CollectLabels());
  RETURN_IF_ERROR(ApplyPins());
  readers_.resize(graph_.tensors.size());
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    const ops::Node& node = graph_.nodes[n];
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      readers_[node.inputs[i]].push_back(
          {static_cast<NodeId>(n), static_cast<int>(i)});
    }
  }
  int64_t entries = 0;
  size_t counted = 0;
  for (size_t t = 0; t < graph_.tensors.size(); ++t) {
    AddTensor(static_cast<TensorId>(t));
    for (; counted < problem_.pairs.size(); ++counted) {
      entries += static_cast<int64_t>(problem_.pairs[counted].cost.size());
    }
    if (entries > kMostEntries) return TooTangled();
  }
  if (cluster_.num_devices() > 1) TieParameters();
  return absl::OkStatus();
}

absl::Status SbpProblem::TooTangled() const {
  return absl::UnimplementedError(absl::StrCat(
      "the graph is too tangled for an exact search on a mesh of ",
      mesh_.ToString(),
      ", and greedy choices found no placement that satisfies all operators; "
      "pin some tensors, or use fewer mesh axes"));
}

}  // namespace facet::placement
