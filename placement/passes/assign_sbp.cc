#include "placement/passes/assign_sbp.h"

#include <algorithm>
#include <limits>
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
#include "placement/boxing/boxing_cost.h"
#include "placement/cost/op_cost.h"
#include "placement/passes/elimination.h"
#include "placement/passes/min_marginals.h"

namespace facet::placement {
namespace {

using ops::NodeId;
using ops::Sbp;
using ops::Signature;
using ops::TensorId;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// One reading of a tensor: which input of which node.
struct Reader {
  NodeId node;
  int input;
};

// Splits along height or width are not searched: convolutions would have to
// exchange the borders.
bool SplitsImages(const Signature& signature) {
  auto splits = [](const Sbp& sbp) { return sbp.is_split() && sbp.axis >= 2; };
  return std::any_of(signature.inputs.begin(), signature.inputs.end(),
                     splits) ||
         std::any_of(signature.outputs.begin(), signature.outputs.end(),
                     splits);
}

// The search as a pairwise problem. One variable per node, whose labels are
// its signatures. A tensor with several readers is boxed at most once to one
// further SBP, which they share; so it has a variable of its own, whose labels
// are the pairs (SBP it is produced in, SBP it is boxed to).
class Search {
 public:
  Search(const ops::Graph& graph, const Cluster& cluster,
         const std::map<std::string, Sbp>& pins, ops::OpLookup lookup)
      : graph_(graph), cluster_(cluster), pins_(pins), lookup_(lookup) {}

  absl::StatusOr<SbpAssignment> Run();
  absl::StatusOr<std::vector<std::vector<double>>> RunForEachOption();

 private:
  absl::Status MakeProblem();
  absl::Status CollectLabels();
  absl::Status ApplyPins();
  void AddTensor(TensorId tensor);
  void TieParameters();
  double Boxing(TensorId tensor, Sbp from, Sbp to);
  // Nobody reads it before the optimizer does.
  bool OnlyForOptimizer(TensorId tensor) const;
  // Transitions without communication.
  static bool LocalOnly(Sbp from, Sbp to) {
    return from.is_broadcast() || (from.is_split() && to.is_partial());
  }
  // Cost of reading the tensor in `to`; a variable's value stays as it is.
  double Reading(TensorId tensor, Sbp from, Sbp to) {
    if (from == to) return 0;
    return of_parameters_[tensor] ? kInfinity : Boxing(tensor, from, to);
  }
  bool IsVariable(TensorId tensor) const {
    return lookup_(graph_.nodes[graph_.tensors[tensor].producer].op)
        ->is_variable;
  }
  Sbp Produced(TensorId tensor, int label) const {
    const ops::Tensor& t = graph_.tensors[tensor];
    return labels_[t.producer][label].outputs[t.output_index];
  }
  SbpAssignment Result(const PairwiseSolution& solution);

  const ops::Graph& graph_;
  const Cluster& cluster_;
  const std::map<std::string, Sbp>& pins_;
  const ops::OpLookup lookup_;
  std::vector<std::vector<Signature>> labels_;  // By node.
  std::vector<std::vector<Reader>> readers_;    // By tensor.
  std::vector<bool> of_parameters_;  // By tensor: variables, casts of them ...
  PairwiseProblem problem_;
  std::map<std::tuple<ops::DataType, std::vector<int64_t>, Sbp, Sbp>, double>
      boxing_cache_;
};

absl::Status Search::CollectLabels() {
  // Repeated layers ask for the same costs again and again.
  absl::flat_hash_map<std::string,
                      std::pair<std::vector<Signature>, std::vector<double>>>
      cache;
  const int k = cluster_.num_devices();
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
    auto [it, is_new] = cache.try_emplace(key);
    auto& [signatures, seconds] = it->second;
    if (is_new) {
      signatures = ops::LegalSignatures(def, call, k);
      signatures.erase(
          std::remove_if(signatures.begin(), signatures.end(), SplitsImages),
          signatures.end());
      if (k == 1) {
        // All SBPs mean the same then: say so by the simplest.
        const Signature simple =
            ops::Uniform(static_cast<int>(call.inputs.size()),
                         static_cast<int>(call.outputs.size()), Sbp::B());
        if (std::count(signatures.begin(), signatures.end(), simple) > 0) {
          signatures = {simple};
        }
      }
      for (const Signature& signature : signatures) {
        seconds.push_back(
            OpSeconds(def, call, signature, k, cluster_.devices.front()));
      }
    }
    if (signatures.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(node.name, " (", node.op, ") cannot be placed on ", k,
                       " devices: no signature leaves every device a part"));
    }
    labels_.push_back(signatures);
    problem_.unary.push_back(seconds);
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
    const NodeId node = graph_.tensors[tensor].producer;
    std::set<std::string> possible;
    std::vector<Signature> kept;
    std::vector<double> seconds;
    for (size_t l = 0; l < labels_[node].size(); ++l) {
      const Sbp produced = Produced(tensor, static_cast<int>(l));
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

double Search::Boxing(TensorId tensor, Sbp from, Sbp to) {
  if (from == to) return 0;
  const ops::TensorType& type = graph_.tensors[tensor].type;
  const std::vector<int64_t> dims(type.shape.dims().begin(),
                                  type.shape.dims().end());
  auto [it, is_new] =
      boxing_cache_.try_emplace({type.dtype, dims, from, to}, 0.0);
  if (is_new) it->second = BoxingSeconds(type, from, to, cluster_, 0);
  if (LocalOnly(from, to)) return it->second;
  // Where the result is needed before the optimizer, all devices wait.
  if (!OnlyForOptimizer(tensor)) {
    return it->second + cluster_.mesh[0].blocking_seconds;
  }
  // Sums of gradients travel in buckets (bucket_collectives.h), and share the
  // latency.
  if (from.is_partial() && to.is_broadcast()) {
    const double rounds = 2 * (cluster_.num_devices() - 1);
    return it->second - rounds * cluster_.mesh[0].latency_seconds;
  }
  return it->second;
}

bool Search::OnlyForOptimizer(TensorId tensor) const {
  return std::all_of(readers_[tensor].begin(), readers_[tensor].end(),
                     [&](const Reader& reader) {
                       return graph_.nodes[reader.node].origin.phase ==
                              ops::Phase::kOptimizer;
                     });
}

void Search::AddTensor(TensorId tensor) {
  const std::vector<Reader>& readers = readers_[tensor];
  const NodeId producer = graph_.tensors[tensor].producer;
  const int num_produced = static_cast<int>(labels_[producer].size());
  const bool shared = readers.size() > 1 && !of_parameters_[tensor];
  if (!shared) {
    for (const Reader& reader : readers) {
      const auto& wanted = labels_[reader.node];
      PairwiseProblem::Pair pair{producer, reader.node, {}};
      for (int p = 0; p < num_produced; ++p) {
        for (const Signature& signature : wanted) {
          pair.cost.push_back(Reading(tensor, Produced(tensor, p),
                                      signature.inputs[reader.input]));
        }
      }
      problem_.pairs.push_back(std::move(pair));
    }
    return;
  }

  std::set<Sbp> produced, wanted;
  for (int p = 0; p < num_produced; ++p) produced.insert(Produced(tensor, p));
  for (const Reader& reader : readers) {
    for (const Signature& signature : labels_[reader.node]) {
      wanted.insert(signature.inputs[reader.input]);
    }
  }
  struct Boxed {
    Sbp from, to;
  };
  std::vector<Boxed> choices;
  std::vector<double> costs;
  for (const Sbp& from : produced) {
    choices.push_back({from, from});  // Not boxed.
    costs.push_back(0);
    for (const Sbp& to : wanted) {
      const double cost = Boxing(tensor, from, to);
      // What is whole or split is not made partial again for several readers.
      if (from == to || to.is_partial() || cost == kInfinity) continue;
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
      for (const Signature& signature : labels_[reader.node]) {
        const Sbp want = signature.inputs[reader.input];
        read.cost.push_back(
            want == choice.from || want == choice.to ? 0 : kInfinity);
      }
    }
    problem_.pairs.push_back(std::move(read));
  }
}

// One variable per part of the model, with the labels "whole" and "split".
void Search::TieParameters() {
  constexpr int kWhole = 0, kSplit = 1;
  std::map<std::string, int> variable_of_part;
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
      auto [it, is_new] = variable_of_part.try_emplace(
          node.origin.part, static_cast<int>(problem_.unary.size()));
      if (is_new) problem_.unary.push_back({0, 0});
      const int part = it->second;
      auto tie = [&](NodeId tied, const auto& cost) {
        PairwiseProblem::Pair pair{tied, part, {}};
        for (size_t l = 0; l < labels_[tied].size(); ++l) {
          for (int wanted : {kWhole, kSplit}) {
            pair.cost.push_back(cost(static_cast<int>(l), wanted));
          }
        }
        problem_.pairs.push_back(std::move(pair));
      };
      tie(source, [&](int label, int wanted) {
        const int is = Produced(parameter, label).is_split() ? kSplit : kWhole;
        return is == wanted ? 0.0 : kInfinity;
      });
      // The gradient of a whole parameter is summed up, not gathered.
      for (TensorId gradient : update.inputs) {
        if (IsVariable(gradient) || graph_.tensors[gradient].type.shape !=
                                        graph_.tensors[parameter].type.shape) {
          continue;
        }
        tie(graph_.tensors[gradient].producer, [&](int label, int wanted) {
          return wanted == kWhole && Produced(gradient, label).is_split()
                     ? kInfinity
                     : 0.0;
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
        std::set<Sbp> wanted;
        for (const Reader& reader : readers_[node.outputs[o]]) {
          wanted.insert(result.chosen[reader.node].inputs[reader.input]);
        }
        for (const Sbp& to : wanted) {
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
  of_parameters_.resize(graph_.tensors.size(), false);
  for (const ops::Node& node : graph_.nodes) {
    const bool only_parameters =
        lookup_(node.op)->is_variable ||
        (!node.inputs.empty() &&
         std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](TensorId t) { return of_parameters_[t]; }));
    for (TensorId t : node.outputs) of_parameters_[t] = only_parameters;
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
  for (size_t t = 0; t < graph_.tensors.size(); ++t) {
    AddTensor(static_cast<TensorId>(t));
  }
  if (cluster_.num_devices() > 1) TieParameters();
  return absl::OkStatus();
}

absl::StatusOr<SbpAssignment> Search::Run() {
  RETURN_IF_ERROR(MakeProblem());
  const PairwiseSolution solution = Minimize(problem_);
  if (solution.cost == kInfinity) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no placement on ", cluster_.num_devices(),
        " devices satisfies all operators",
        pins_.empty() ? "" : " and the pins; leave some pins out"));
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

absl::Status CheckMesh(const Cluster& cluster) {
  if (cluster.mesh.size() != 1) {
    return absl::UnimplementedError(
        absl::StrCat("the mesh has ", cluster.mesh.size(),
                     " axes; placement knows meshes of one axis"));
  }
  CHECK_EQ(cluster.mesh[0].size, cluster.num_devices());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SbpAssignment> AssignSbp(
    const ops::Graph& graph, const Cluster& cluster,
    const std::map<std::string, ops::Sbp>& pins, ops::OpLookup lookup) {
  RETURN_IF_ERROR(CheckMesh(cluster));
  return Search(graph, cluster, pins, lookup).Run();
}

absl::StatusOr<std::vector<std::vector<double>>> SecondsWithEachOption(
    const ops::Graph& graph, const Cluster& cluster,
    const std::map<std::string, ops::Sbp>& pins, ops::OpLookup lookup) {
  RETURN_IF_ERROR(CheckMesh(cluster));
  return Search(graph, cluster, pins, lookup).RunForEachOption();
}

}  // namespace facet::placement
