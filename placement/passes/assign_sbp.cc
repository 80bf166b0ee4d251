#include "placement/passes/assign_sbp.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"
#include "placement/boxing/boxing_routes.h"
#include "placement/cost/op_cost.h"
#include "placement/passes/elimination.h"
#include "placement/passes/min_marginals.h"

namespace facet::placement {
namespace {

using ops::NdSbp;
using ops::NdSignature;
using ops::NodeId;
using ops::Sbp;
using ops::TensorId;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// One reading of a tensor: which input of which node.
struct Reader {
  NodeId node;
  int input;
};

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

// The search as a pairwise problem. One variable per node, whose labels are
// its signatures. A tensor with several readers is boxed at most once to one
// further SBP, which they share; so it has a variable of its own, whose labels
// are the pairs (SBP it is produced in, SBP it is boxed to).
class Search {
 public:
  // By part of the model: along which axes its parameters are split; bit a is
  // axis a.
  using PartSets = std::map<std::string, int>;

  // Of all tables together: a search of about a minute. r50 has 3 million on a
  // mesh of two axes, r18 38 million on one of three.
  static constexpr int64_t kMostEntries = int64_t{1} << 23;

  // `alike`: only signatures that are the same along all axes take part, but
  // for parts of the model with a pin that is not. `split`: as in
  // Parameters::kSplit, of parts with these sets; empty: no parameters move.
  Search(const ops::Graph& graph, const Cluster& cluster,
         const std::map<std::string, NdSbp>& pins, ops::OpLookup lookup,
         bool alike = false, PartSets split = {})
      : alike_(alike),
        split_(std::move(split)),
        graph_(graph),
        cluster_(cluster),
        mesh_(MeshOf(cluster)),
        pins_(pins),
        lookup_(lookup) {}

  // Unimplemented if nothing was found, though there may be something.
  absl::StatusOr<SbpAssignment> Run();
  double lower_bound() const { return lower_bound_; }       // After Run.
  const PartSets& part_sets() const { return part_sets_; }  // After Run.
  absl::StatusOr<std::vector<std::vector<double>>> RunForEachOption();

 private:
  // Unimplemented if its tables would take more than kMostEntries.
  absl::Status MakeProblem();
  absl::Status TooTangled() const;
  absl::Status CollectLabels();
  absl::Status ApplyPins();
  void AddTensor(TensorId tensor);
  void TieParameters();
  BoxingRoutes& RoutesOf(TensorId tensor);
  // The optimizer's reads can wait: that of others hold compute up.
  bool ComputeWaitsFor(TensorId tensor) const;
  // Cost of reading the tensor in `to`; a variable's value stays as it is.
  double Reading(TensorId tensor, const NdSbp& from, const NdSbp& to) {
    if (from == to) return 0;
    return Moves(tensor) ? BoxingSeconds(tensor, from, to) : kInfinity;
  }
  bool Moves(TensorId tensor) const {
    return !of_parameters_[tensor] || split_root_[tensor] != ops::kNone;
  }
  // Per step, of a tensor that is not needed in every one.
  double BoxingSeconds(TensorId tensor, const NdSbp& from, const NdSbp& to) {
    return RoutesOf(tensor).Seconds(from, to) / every_[tensor];
  }
  bool IsVariable(TensorId tensor) const {
    return lookup_(graph_.nodes[graph_.tensors[tensor].producer].op)
        ->is_variable;
  }
  const NdSbp& Produced(TensorId tensor, int label) const {
    const ops::Tensor& t = graph_.tensors[tensor];
    return labels_[t.producer][label].outputs[t.output_index];
  }
  // Parameters::kSplit applies: trainable, not pinned, rows for every device.
  bool CanSplit(const ops::Node& variable) const;
  bool IsSplitByRows(const NdSbp& sbp) const;
  // It changes what it reads: in place.
  bool IsMutator(const Reader& reader) const {
    const std::vector<int>& mutates =
        lookup_(graph_.nodes[reader.node].op)->mutates;
    return std::find(mutates.begin(), mutates.end(), reader.input) !=
           mutates.end();
  }
  SbpAssignment Result(const PairwiseSolution& solution);

  const bool alike_;
  const PartSets split_;
  std::map<std::string, int> variable_of_part_;  // Of problem_.
  const ops::Graph& graph_;
  const Cluster& cluster_;
  const ops::Mesh mesh_;
  const std::map<std::string, NdSbp>& pins_;
  const ops::OpLookup lookup_;
  std::vector<std::vector<NdSignature>> labels_;  // By node.
  std::vector<std::vector<Reader>> readers_;      // By tensor.
  std::vector<int> every_;                        // By tensor: ComputeEvery.
  std::vector<bool> of_parameters_;  // By tensor: variables, casts of them ...
  // By tensor: the variable that it is made of alone, if that CanSplit; kNone.
  std::vector<TensorId> split_root_;
  double lower_bound_ = 0;
  PartSets part_sets_;
  PairwiseProblem problem_;
  // By type, and by whether compute waits.
  std::map<std::tuple<ops::DataType, std::vector<int64_t>, bool>,
           std::unique_ptr<BoxingRoutes>>
      routes_;
};

absl::Status Search::CollectLabels() {
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

absl::Status Search::ApplyPins() {
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

BoxingRoutes& Search::RoutesOf(TensorId tensor) {
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

bool Search::ComputeWaitsFor(TensorId tensor) const {
  const std::vector<Reader>& readers = readers_[tensor];
  return std::any_of(
      readers.begin(), readers.end(), [this](const Reader& reader) {
        return graph_.nodes[reader.node].origin.phase != ops::Phase::kOptimizer;
      });
}

void Search::AddTensor(TensorId tensor) {
  const std::vector<Reader>& readers = readers_[tensor];
  const NodeId producer = graph_.tensors[tensor].producer;
  const int num_produced = static_cast<int>(labels_[producer].size());
  const bool shared = readers.size() > 1 && Moves(tensor);
  if (!shared) {
    for (const Reader& reader : readers) {
      const auto& wanted = labels_[reader.node];
      PairwiseProblem::Pair pair{producer, reader.node, {}};
      for (int p = 0; p < num_produced; ++p) {
        for (const NdSignature& signature : wanted) {
          const NdSbp& from = Produced(tensor, p);
          const NdSbp& to = signature.inputs[reader.input];
          pair.cost.push_back(from != to && IsMutator(reader)
                                  ? kInfinity
                                  : Reading(tensor, from, to));
        }
      }
      problem_.pairs.push_back(std::move(pair));
    }
    return;
  }

  std::set<NdSbp> produced, wanted;
  for (int p = 0; p < num_produced; ++p) produced.insert(Produced(tensor, p));
  for (const Reader& reader : readers) {
    for (const NdSignature& signature : labels_[reader.node]) {
      wanted.insert(signature.inputs[reader.input]);
    }
  }
  struct Boxed {
    NdSbp from, to;
  };
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
}

bool Search::CanSplit(const ops::Node& variable) const {
  const ops::Tensor& tensor = graph_.tensors[variable.outputs[0]];
  const auto set = split_.find(variable.origin.part);
  return set != split_.end() && set->second == 0 &&
         pins_.count(tensor.name) == 0 &&
         variable.attributes.Has("trainable") &&
         variable.attributes.Bool("trainable") &&
         tensor.type.shape.rank() > 0 &&
         tensor.type.shape[0] >= cluster_.num_devices();
}

bool Search::IsSplitByRows(const NdSbp& sbp) const {
  for (int a = 0; a < mesh_.num_axes(); ++a) {
    if (mesh_.sizes[a] > 1 && sbp[a] != Sbp::S(0)) return false;
  }
  return true;
}

// One variable per part of the model, whose labels are the sets of axes along
// which its parameters are split: bit a is axis a.
void Search::TieParameters() {
  const int num_sets = 1 << mesh_.num_axes();
  auto split_axes = [](const NdSbp& sbp) {
    int set = 0;
    for (int a = 0; a < sbp.num_axes(); ++a) {
      if (sbp[a].is_split()) set |= 1 << a;
    }
    return set;
  };
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    // Nodes that update a parameter name it, and its gradient, as inputs.
    const ops::Node& update = graph_.nodes[n];
    for (int m : lookup_(update.op)->mutates) {
      const TensorId parameter = update.inputs[m];
      const NodeId source = graph_.tensors[parameter].producer;
      const ops::Node& node = graph_.nodes[source];
      if (!node.attributes.Has("trainable") ||
          !node.attributes.Bool("trainable")) {
        continue;
      }
      // A pinned parameter follows its pin alone.
      if (pins_.count(graph_.tensors[parameter].name) > 0) continue;
      auto [it, is_new] = variable_of_part_.try_emplace(
          node.origin.part, static_cast<int>(problem_.unary.size()));
      if (is_new) {
        std::vector<double> sets(num_sets, 0.0);
        if (auto fixed = split_.find(node.origin.part); fixed != split_.end()) {
          std::fill(sets.begin(), sets.end(), kInfinity);
          sets[fixed->second] = 0;
        }
        problem_.unary.push_back(std::move(sets));
      }
      const int part = it->second;
      auto tie = [&](NodeId tied, const auto& cost) {
        PairwiseProblem::Pair pair{tied, part, {}};
        for (size_t l = 0; l < labels_[tied].size(); ++l) {
          for (int wanted = 0; wanted < num_sets; ++wanted) {
            pair.cost.push_back(cost(static_cast<int>(l), wanted));
          }
        }
        problem_.pairs.push_back(std::move(pair));
      };
      const bool can_split = CanSplit(node);
      tie(source, [&](int label, int wanted) {
        const NdSbp& sbp = Produced(parameter, label);
        const bool fits = wanted == 0 && can_split ? IsSplitByRows(sbp)
                                                   : split_axes(sbp) == wanted;
        return fits ? 0.0 : kInfinity;
      });
      // Who computes with a split parameter has it as if it were not.
      for (size_t t = 0; can_split && t < readers_.size(); ++t) {
        if (split_root_[t] != parameter) continue;
        for (const Reader& reader : readers_[t]) {
          const ops::Node& user = graph_.nodes[reader.node];
          const bool is_made_of_it =
              !user.outputs.empty() && of_parameters_[user.outputs[0]];
          if (IsMutator(reader) || is_made_of_it) continue;
          tie(reader.node, [&](int label, int wanted) {
            return split_axes(
                       labels_[reader.node][label].inputs[reader.input]) ==
                           wanted
                       ? 0.0
                       : kInfinity;
          });
        }
      }
      // The gradient of a whole parameter is summed up, not gathered.
      for (TensorId gradient : update.inputs) {
        if (IsVariable(gradient) || graph_.tensors[gradient].type.shape !=
                                        graph_.tensors[parameter].type.shape) {
          continue;
        }
        tie(graph_.tensors[gradient].producer, [&](int label, int wanted) {
          return (split_axes(Produced(gradient, label)) & ~wanted) == 0
                     ? 0.0
                     : kInfinity;
        });
      }
    }
  }
}

SbpAssignment Search::Result(const PairwiseSolution& solution) {
  SbpAssignment result;
  result.seconds = solution.cost;
  result.lower_bound = solution.lower_bound;
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    result.chosen.push_back(labels_[n][solution.label[n]]);
  }
  for (const ops::Tensor& tensor : graph_.tensors) {
    result.produced.push_back(
        result.chosen[tensor.producer].outputs[tensor.output_index]);
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

absl::Status Search::MakeProblem() {
  every_ = ops::ComputeEvery(graph_);
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

absl::Status Search::TooTangled() const {
  return absl::UnimplementedError(absl::StrCat(
      "the graph is too tangled for an exact search on a mesh of ",
      mesh_.ToString(),
      ", and greedy choices found no placement that satisfies all operators; "
      "pin some tensors, or use fewer mesh axes"));
}

absl::StatusOr<SbpAssignment> Search::Run() {
  const absl::Status made = MakeProblem();
  // No placement takes less, whatever moves.
  for (const std::vector<double>& seconds : problem_.unary) {
    lower_bound_ += *std::min_element(seconds.begin(), seconds.end());
  }
  RETURN_IF_ERROR(made);
  const PairwiseSolution solution = Minimize(problem_);
  lower_bound_ = solution.lower_bound;
  if (solution.cost == kInfinity && solution.lower_bound < kInfinity) {
    return TooTangled();
  }
  if (solution.cost == kInfinity) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no placement on ", cluster_.num_devices(),
        " devices satisfies all operators",
        pins_.empty() ? "" : " and the pins; leave some pins out"));
  }
  for (const auto& [part, variable] : variable_of_part_) {
    part_sets_[part] = solution.label[variable];
  }
  return Result(solution);
}

absl::StatusOr<std::vector<std::vector<double>>> Search::RunForEachOption() {
  RETURN_IF_ERROR(MakeProblem());
  auto seconds = MinMarginals(problem_);
  if (!seconds.has_value()) {
    return absl::UnimplementedError(
        "the graph is too tangled to solve it for every option");
  }
  // The variables of nodes come first.
  seconds->resize(graph_.nodes.size());
  return *std::move(seconds);
}

// `sets`: if not null, filled in.
absl::StatusOr<SbpAssignment> Assign(const ops::Graph& graph,
                                     const Cluster& cluster,
                                     const std::map<std::string, NdSbp>& pins,
                                     ops::OpLookup lookup,
                                     Parameters parameters,
                                     Search::PartSets* sets) {
  Search::PartSets split;
  if (parameters == Parameters::kSplit) {
    RETURN_IF_ERROR(
        Assign(graph, cluster, pins, lookup, Parameters::kFastest, &split)
            .status());
  }
  Search search(graph, cluster, pins, lookup, /*alike=*/false, split);
  absl::StatusOr<SbpAssignment> found = search.Run();
  if (!absl::IsUnimplemented(found.status()) || cluster.mesh.size() == 1) {
    if (sets != nullptr) *sets = search.part_sets();
    return found;
  }
  // Far fewer to choose from: as on a row of devices. The bound stays that of
  // all.
  Search alike_search(graph, cluster, pins, lookup, /*alike=*/true, split);
  absl::StatusOr<SbpAssignment> alike = alike_search.Run();
  if (!alike.ok()) return found.status();
  alike->lower_bound = std::min(alike->lower_bound, search.lower_bound());
  if (sets != nullptr) *sets = alike_search.part_sets();
  return alike;
}

}  // namespace

absl::StatusOr<SbpAssignment> AssignSbp(
    const ops::Graph& graph, const Cluster& cluster,
    const std::map<std::string, ops::NdSbp>& pins, ops::OpLookup lookup,
    Parameters parameters) {
  RETURN_IF_ERROR(CheckMesh(cluster));
  return Assign(graph, cluster, pins, lookup, parameters, nullptr);
}

absl::StatusOr<std::vector<std::vector<double>>> SecondsWithEachOption(
    const ops::Graph& graph, const Cluster& cluster,
    const std::map<std::string, ops::NdSbp>& pins, ops::OpLookup lookup,
    Parameters parameters) {
  RETURN_IF_ERROR(CheckMesh(cluster));
  Search::PartSets split;
  if (parameters == Parameters::kSplit) {
    RETURN_IF_ERROR(
        Assign(graph, cluster, pins, lookup, Parameters::kFastest, &split)
            .status());
  }
  return Search(graph, cluster, pins, lookup, /*alike=*/false, split)
      .RunForEachOption();
}

}  // namespace facet::placement
