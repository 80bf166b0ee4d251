#include "placement/tool/explanation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/graph/nd_sbp.h"
#include "ops/graph/shard.h"
#include "ops/graph_builder.h"
#include "ops/nd_signature.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/passes/assign_sbp.h"
#include "placement/tool/command_line.h"
#include "placement/tool/plan_facts.h"
#include "placement/tool/text_table.h"

namespace facet::placement {
namespace {

using ops::Graph;
using ops::NdSbp;
using ops::NodeId;
using ops::Sbp;
using ops::TensorId;

// Costs that differ by less are the same but for rounding.
constexpr double kTie = 1e-9;

double ComputeSeconds(const SbpAssignment& assignment) {
  double seconds = 0;
  for (const MadeAgain& again : assignment.again) {
    if (!again.gathered) seconds += again.seconds;
  }
  for (size_t n = 0; n < assignment.chosen.size(); ++n) {
    for (const SbpOption& option : assignment.options[n]) {
      if (option.signature == assignment.chosen[n]) {
        seconds += option.compute_seconds;
        break;
      }
    }
  }
  return seconds;
}

// SBPs that the node's signatures, as the search sees them, give the tensor.
std::set<NdSbp> Offered(const Graph& graph, const SbpAssignment& assignment,
                        TensorId tensor) {
  const ops::Tensor& t = graph.tensors[tensor];
  std::set<NdSbp> sbps;
  for (const SbpOption& option : assignment.options[t.producer]) {
    sbps.insert(option.signature.outputs[t.output_index]);
  }
  return sbps;
}

// All SBPs that are not partial along any axis.
std::vector<NdSbp> WholeOrSplit(const ops::Shape& shape, int num_axes) {
  std::vector<NdSbp> all = {NdSbp()};
  for (int a = 0; a < num_axes; ++a) {
    std::vector<NdSbp> longer;
    for (const NdSbp& sbp : all) {
      longer.push_back(sbp);
      longer.back().push_back(Sbp::B());
      for (int i = 0; i < shape.rank(); ++i) {
        longer.push_back(sbp);
        longer.back().push_back(Sbp::S(i));
      }
    }
    all = std::move(longer);
  }
  return all;
}

// Of what the outer axes leave, the first that there is too little of.
std::string WhyNotShardable(const ops::Shape& shape, const NdSbp& sbp,
                            const ops::Mesh& mesh) {
  ops::Shape smallest = shape;
  for (int a = 0; a < mesh.num_axes(); ++a) {
    const int k = mesh.sizes[a];
    if (!ops::IsShardable(smallest, sbp[a], k)) {
      return absl::StrCat("shape: dimension ", sbp[a].axis, " is ",
                          smallest[sbp[a].axis], ", fewer than the ", k,
                          " devices");
    }
    smallest = ops::LocalRegion(smallest, sbp[a], k, k - 1).shape;
  }
  return "";
}

bool IsParameter(const Graph& graph, TensorId tensor) {
  return ops::FindOp(graph.nodes[graph.tensors[tensor].producer].op)
      ->is_variable;
}

// Neighbours that disagree: readers that want it otherwise, and inputs of its
// producer that are produced otherwise. "conv2 reads it as S(0)".
std::vector<std::string> Disagreements(const Graph& graph,
                                       const SbpAssignment& assignment,
                                       TensorId tensor) {
  std::vector<std::string> texts;
  const NodeId producer = graph.tensors[tensor].producer;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const ops::Node& node = graph.nodes[n];
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const TensorId input = node.inputs[i];
      const NdSbp& made = assignment.produced[input];
      const NdSbp& wanted = assignment.chosen[n].inputs[i];
      if (made == wanted) continue;
      if (input == tensor) {
        texts.push_back(
            absl::StrCat(node.name, " reads it as ", wanted.ToString()));
      } else if (static_cast<NodeId>(n) == producer) {
        texts.push_back(absl::StrCat(graph.tensors[input].name, " goes ",
                                     made.ToString(), " -> ",
                                     wanted.ToString()));
      }
    }
  }
  return texts;
}

// Whether an input of the task is this logical tensor.
bool Reads(const Plan& plan, const Task& task, absl::string_view tensor) {
  return std::any_of(task.inputs().begin(), task.inputs().end(), [&](int r) {
    const int id = plan.registers(r).tensor();
    return id >= 0 && absl::string_view(plan.tensors(id).name()) == tensor;
  });
}

}  // namespace

// The best placement with some pins, or why there is none.
struct Explainer::Solution {
  absl::Status status;
  Compilation compilation;
  std::string too_big;  // Why it does not fit; "": it does.
};

Explainer::Explainer(const Compiled& compiled)
    : compiled_(compiled),
      graph_(compiled.result.graph),
      assignment_(compiled.result.assignment),
      readers_(ops::ComputeConsumers(compiled.result.graph)) {
  const auto search =
      SbpSearch::Make(graph_, compiled.cluster, compiled.options.pins,
                      ops::FindOp, compiled.result.rules);
  if (!search.ok()) return;
  auto seconds = search->SecondsWithEachOption(assignment_.may_hold,
                                               assignment_.seconds_per_byte);
  if (seconds.ok()) step_seconds_ = *std::move(seconds);
}

TensorId Explainer::FindTensor(const std::string& name) const {
  return ops::FindTensor(graph_, name);
}

NodeId Explainer::FindNode(const std::string& name) const {
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    if (graph_.nodes[n].name == name) return static_cast<NodeId>(n);
  }
  return ops::kNone;
}

std::string Explainer::Suggestion(const std::string& name) const {
  std::vector<std::string> names;
  for (const ops::Tensor& tensor : graph_.tensors) names.push_back(tensor.name);
  for (const ops::Node& node : graph_.nodes) names.push_back(node.name);
  const std::vector<std::string> similar = Similar(name, names, 6);
  if (similar.empty()) return "`show --unfold --json=FILE` lists all tensors";
  return absl::StrCat("similar ones: ", absl::StrJoin(similar, ", "));
}

Explainer::Solution Explainer::Solve(
    const std::map<std::string, NdSbp>& pins) const {
  Solution solution;
  CompileOptions options = compiled_.options;
  options.pins = pins;
  options.dump_dir.clear();
  auto compilation =
      CompileWithReasons(compiled_.model, compiled_.cluster, options);
  if (absl::IsResourceExhausted(compilation.status())) {
    // What it would cost all the same.
    solution.too_big = std::string(compilation.status().message());
    compilation = CompileWithReasons(
        compiled_.model, WithoutMemoryLimits(compiled_.cluster), options);
  }
  solution.status = compilation.status();
  if (compilation.ok()) solution.compilation = *std::move(compilation);
  return solution;
}

SbpChoice Explainer::Describe(const Solution& solution,
                              const std::string& tensor) const {
  const Compilation& compilation = solution.compilation;
  const Graph& graph = compilation.graph;
  SbpChoice choice;
  choice.seconds = compilation.assignment.seconds;
  choice.compute_seconds = ComputeSeconds(compilation.assignment);
  choice.communication_seconds = choice.seconds - choice.compute_seconds;
  if (const TensorId id = ops::FindTensor(graph, tensor); id != ops::kNone) {
    const ops::TensorType& type = graph.tensors[id].type;
    choice.tensor_bytes =
        ops::LocalRegion(type.shape, compilation.assignment.produced[id],
                         MeshOf(compiled_.cluster), 0)
            .shape.num_elements() *
        ops::SizeInBytes(type.dtype);
  }
  choice.arena_bytes = FindTotals(compilation.plan).arena_bytes;
  choice.predicted_step_seconds = compilation.plan.predicted_step_seconds();
  return choice;
}

std::string Explainer::WhyRejected(const SbpChoice& choice,
                                   const SbpChoice& chosen,
                                   const Solution& solution,
                                   const std::string& tensor) const {
  if (compiled_.options.pins.count(tensor) > 0) return "pin: --pin excludes it";
  if (!solution.too_big.empty()) {
    return absl::StrCat("memory: ", solution.too_big);
  }
  const double more = choice.seconds - chosen.seconds;
  const Graph& graph = solution.compilation.graph;
  const TensorId id = ops::FindTensor(graph, tensor);
  if (more < -kTie * chosen.seconds) {
    return id != ops::kNone && IsParameter(graph, id)
               ? "rule: the parameters of a part are all whole or all split "
                 "(a pin frees one of it)"
               : "rule: only a pin allows it";
  }
  if (more <= kTie * chosen.seconds) {
    return "tie: costs the same; of equals the first is taken";
  }
  std::vector<std::string> reasons;
  const double compute = choice.compute_seconds - chosen.compute_seconds;
  const double moving =
      choice.communication_seconds - chosen.communication_seconds;
  if (compute > kTie * chosen.seconds && compute >= moving) {
    reasons.push_back("compute: devices would repeat or lengthen work");
  }
  if (moving > kTie * chosen.seconds) {
    std::string reason = "neighbours: more to move";
    std::vector<std::string> names;
    if (id != ops::kNone) {
      names = Disagreements(graph, solution.compilation.assignment, id);
    }
    constexpr size_t kNamed = 2;
    const size_t more_names = names.size() > kNamed ? names.size() - kNamed : 0;
    names.resize(names.size() - more_names);
    if (!names.empty()) {
      absl::StrAppend(&reason, " (", absl::StrJoin(names, "; "));
      if (more_names > 0) absl::StrAppend(&reason, "; ", more_names, " more");
      reason += ")";
    }
    reasons.push_back(std::move(reason));
  }
  if (graph.nodes.size() != graph_.nodes.size()) {
    reasons.push_back("fused operators cannot take it so");
  }
  return absl::StrJoin(reasons, "; ");
}

void Explainer::AddImpossible(TensorId tensor,
                              TensorExplanation* explanation) const {
  const ops::Tensor& t = graph_.tensors[tensor];
  const ops::Node& node = graph_.nodes[t.producer];
  const int k = compiled_.cluster.num_devices();
  const ops::Mesh mesh = MeshOf(compiled_.cluster);
  const ops::OpDef& def = *ops::FindOp(node.op);
  const ops::NodeCall types(graph_, t.producer);
  std::set<NdSbp> legal;
  for (const ops::NdSignature& signature :
       ops::LegalNdSignatures(def, types.call(), mesh)) {
    legal.insert(signature.outputs[t.output_index]);
  }
  for (const NdSbp& sbp : WholeOrSplit(t.type.shape, mesh.num_axes())) {
    const std::string text = sbp.ToString();
    if (std::any_of(explanation->choices.begin(), explanation->choices.end(),
                    [&](const SbpChoice& c) { return c.sbp == text; })) {
      continue;
    }
    SbpChoice choice;
    choice.sbp = text;
    choice.possible = false;
    if (k == 1) {
      choice.why = "one device: all SBPs mean the same";
    } else if (!ops::IsShardable(t.type.shape, sbp, mesh)) {
      choice.why = WhyNotShardable(t.type.shape, sbp, mesh);
    } else if (legal.count(sbp) > 0) {
      choice.why =
          "rule: the search leaves out splits of images along height or width";
    } else {
      choice.why = absl::StrCat("operator: ", node.op,
                                " has no signature that makes it");
    }
    explanation->choices.push_back(std::move(choice));
  }
}

absl::StatusOr<TensorExplanation> Explainer::Explain(TensorId tensor) const {
  const ops::Tensor& t = graph_.tensors[tensor];
  const ops::Node& node = graph_.nodes[t.producer];
  TensorExplanation explanation;
  explanation.tensor = t.name;
  explanation.type = t.type.ToString();
  explanation.layer = node.origin.layer;
  explanation.part = node.origin.part;
  explanation.phase = std::string(ops::PhaseName(node.origin.phase));
  explanation.node = node.name;
  explanation.op = node.op;

  const NdSbp chosen_sbp = assignment_.produced[tensor];
  Solution as_is;
  as_is.compilation = compiled_.result;
  SbpChoice chosen = Describe(as_is, t.name);
  chosen.sbp = chosen_sbp.ToString();
  chosen.chosen = true;
  explanation.choices.push_back(chosen);

  const bool pinned = compiled_.options.pins.count(t.name) > 0;
  std::set<NdSbp> offered = Offered(graph_, assignment_, tensor);
  if (pinned) {
    // What there would be without the pin.
    std::map<std::string, NdSbp> pins = compiled_.options.pins;
    pins.erase(t.name);
    const Solution unpinned = Solve(pins);
    RETURN_IF_ERROR(unpinned.status);
    offered = Offered(graph_, unpinned.compilation.assignment, tensor);
  }
  double next_best = -1;
  std::string next;
  for (const NdSbp& sbp : offered) {
    if (sbp == chosen_sbp) continue;
    std::map<std::string, NdSbp> pins = compiled_.options.pins;
    pins[t.name] = sbp;
    const Solution solution = Solve(pins);
    SbpChoice choice;
    if (solution.status.ok()) {
      choice = Describe(solution, t.name);
      choice.why = WhyRejected(choice, chosen, solution, t.name);
      if (next_best < 0 || choice.seconds < next_best) {
        next_best = choice.seconds;
        next = sbp.ToString();
      }
    } else {
      choice.possible = false;
      choice.why = "neighbours: no placement of the others goes with it";
    }
    choice.sbp = sbp.ToString();
    explanation.choices.push_back(std::move(choice));
  }
  std::stable_sort(explanation.choices.begin() + 1, explanation.choices.end(),
                   [](const SbpChoice& a, const SbpChoice& b) {
                     if (a.possible != b.possible) return a.possible;
                     return a.seconds < b.seconds;
                   });
  if (pinned) {
    explanation.forced_by = "pin: --pin says so";
  } else if (compiled_.cluster.num_devices() == 1) {
    explanation.forced_by = "one device: there is nothing to choose";
  } else if (offered.size() == 1) {
    explanation.forced_by =
        absl::StrCat("shape: on ", compiled_.cluster.num_devices(), " devices ",
                     node.op, " can make nothing else of this shape");
  } else if (next_best < 0) {
    explanation.forced_by = "neighbours: they go with nothing else";
  } else {
    explanation.forced_by =
        absl::StrCat("cost: the next best, ", next, ", ",
                     next_best >= chosen.seconds ? "costs " : "saves ",
                     SecondsText(std::abs(next_best - chosen.seconds)),
                     next_best >= chosen.seconds ? " more" : "");
    if (next_best < chosen.seconds * (1 - kTie)) {
      explanation.forced_by = absl::StrCat(
          "rule: the parameters of a part are all whole or all split; ", next,
          " for this one alone would save ",
          SecondsText(chosen.seconds - next_best));
    }
  }
  AddImpossible(tensor, &explanation);

  for (NodeId reader : readers_[tensor]) {
    const ops::Node& n = graph_.nodes[reader];
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (n.inputs[i] != tensor) continue;
      explanation.readers.push_back(absl::StrCat(
          n.name, " (", n.op, ", ", std::string(ops::PhaseName(n.origin.phase)),
          ") reads it as ", assignment_.chosen[reader].inputs[i].ToString()));
    }
  }
  for (const CollectiveFacts& c : FindCollectives(compiled_.result.plan)) {
    const Task& task = compiled_.result.plan.tasks(c.task);
    const bool of_many = task.inputs_size() > 1;
    if (of_many
            ? !Reads(compiled_.result.plan, task, t.name)
            : !absl::StartsWith(task.name(), absl::StrCat(t.name, "/to_"))) {
      continue;
    }
    explanation.movement.push_back(absl::StrCat(
        c.kind, " ", c.transition, ", ", task.phase(), ": a device sends ",
        BytesText(static_cast<double>(c.bytes)),
        of_many ? absl::StrCat(" for ", task.inputs_size(), " tensors together")
                : "",
        ", predicted ", SecondsText(c.seconds)));
  }
  return explanation;
}

std::string Explainer::WhyNot(const SignatureChoice& choice,
                              const SignatureChoice& chosen,
                              NodeId node) const {
  if (choice.chosen) return "";
  if (std::isinf(choice.step_seconds)) {
    return "neighbours: no placement of the others goes with it";
  }
  const double more = choice.step_seconds - chosen.step_seconds;
  if (std::abs(more) <= kTie * chosen.step_seconds) {
    return "tie: of equals the first is taken";
  }
  const double compute = choice.compute_seconds - chosen.compute_seconds;
  if (compute >= more / 2) return "compute: this operator takes longer";
  // The parameters of a part go together.
  if (ops::FindOp(graph_.nodes[node].op)->is_variable) {
    return "rule: the parameters of its part would all have to change";
  }
  return "neighbours: more to move, or they take longer";
}

std::vector<SignatureChoice> Explainer::Signatures(NodeId node) const {
  std::vector<SignatureChoice> choices;
  for (size_t i = 0; i < assignment_.options[node].size(); ++i) {
    const SbpOption& option = assignment_.options[node][i];
    choices.push_back({option.signature.ToString(),
                       option.signature == assignment_.chosen[node],
                       option.compute_seconds, option.communication_seconds,
                       step_seconds_.empty()
                           ? std::numeric_limits<double>::quiet_NaN()
                           : step_seconds_[node][i],
                       ""});
  }
  std::stable_sort(choices.begin(), choices.end(),
                   [](const SignatureChoice& a, const SignatureChoice& b) {
                     if (a.chosen != b.chosen) return a.chosen;
                     if (a.step_seconds != b.step_seconds) {
                       return a.step_seconds < b.step_seconds;
                     }
                     return a.compute_seconds + a.communication_seconds <
                            b.compute_seconds + b.communication_seconds;
                   });
  for (SignatureChoice& choice : choices) {
    choice.why = WhyNot(choice, choices[0], node);
  }
  return choices;
}

}  // namespace facet::placement
