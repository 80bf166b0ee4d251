// SbpProblem: the search for SBPs as a pairwise problem (elimination.h), in
// seconds, and what its choices hold of the memory.
#ifndef FACET_PLACEMENT_PASSES_SBP_PROBLEM_H_
#define FACET_PLACEMENT_PASSES_SBP_PROBLEM_H_

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "ops/graph/graph.h"
#include "ops/graph/mesh.h"
#include "ops/graph/nd_sbp.h"
#include "ops/nd_signature.h"
#include "ops/op_def.h"
#include "placement/boxing/boxing_routes.h"
#include "placement/cluster.h"
#include "placement/passes/activations.h"
#include "placement/passes/elimination.h"
#include "placement/passes/sbp_assignment.h"

namespace facet::placement {

// One reading of a tensor: which input of which node.
struct Reader {
  ops::NodeId node;
  int input;
};

// One variable per node, whose labels are its signatures; they come first. A
// tensor with several readers is boxed at most once to one further SBP, which
// they share; so it has a variable of its own, whose labels are the pairs (SBP
// it is produced in, SBP it is boxed to). One variable per part of the model
// says along which axes its parameters are split.
class SbpProblem {
 public:
  // By part of the model: along which axes its parameters are split; bit a is
  // axis a.
  using PartSets = std::map<std::string, int>;

  // Of all tables together: a search of about a minute. r50 has 3 million on a
  // mesh of two axes, r18 38 million on one of three.
  static constexpr int64_t kMostEntries = int64_t{1} << 23;

  // `alike`: only signatures that are the same along all axes take part, but
  // for parts of the model with a pin that is not. `fastest_sets`: with
  // Parameters::kFastest; needed for all other rules. All must outlive this.
  SbpProblem(const ops::Graph& graph, const Cluster& cluster,
             const std::map<std::string, ops::NdSbp>& pins,
             ops::OpLookup lookup, SbpRules rules, bool alike,
             PartSets fastest_sets)
      : graph_(graph),
        cluster_(cluster),
        mesh_(MeshOf(cluster)),
        pins_(pins),
        lookup_(lookup),
        rules_(rules),
        alike_(alike),
        fastest_sets_(std::move(fastest_sets)) {}
  SbpProblem(const SbpProblem&) = delete;
  SbpProblem& operator=(const SbpProblem&) = delete;

  // Unimplemented if its tables would take more than kMostEntries;
  // InvalidArgument for pins that cannot be.
  absl::Status Make();

  // What follows, after Make.

  // In seconds, a held byte counting as so many of them. With Keeping::kLeast
  // the time for what is computed again does not count: all is in any case.
  PairwiseProblem AtPrice(double seconds_per_byte) const;
  // No placement takes less, whatever moves. Also if Make said Unimplemented.
  double SecondsOfComputeAtLeast() const;
  struct Totals {
    double seconds = 0;
    double held_bytes = 0;
  };
  // Of labels that were found at this price.
  Totals TotalsOf(const std::vector<int>& labels, double price) const;
  // The same with all that belongs to it, but for lower_bound.
  SbpAssignment Result(const std::vector<int>& labels, double price);
  size_t num_nodes() const { return labels_.size(); }
  PartSets PartSetsOf(const std::vector<int>& labels) const;
  absl::Status TooTangled() const;

 private:
  // What an entry of a table of costs holds.
  struct Held {
    double bytes = 0;   // In any case.
    double may_go = 0;  // Bytes that need not be held if they are made again,
    double again = std::numeric_limits<double>::infinity();  // in such a time:
    bool gathered = false;                                   // by a boxing.
  };
  // A table of them, of the labels of `a`, or of the pairs of labels of `a` and
  // `b`, indexed as PairwiseProblem does.
  struct HeldTable {
    ops::TensorId tensor = ops::kNone;
    int a = 0;
    int b = -1;
    std::vector<Held> entries;
  };

  absl::Status CollectLabels();
  absl::Status ApplyPins();
  void FindParameters();
  void AddTensor(ops::TensorId tensor);
  void AddSharedTensor(ops::TensorId tensor);
  void TieParameters();  // tie_parameters.cc
  BoxingRoutes& RoutesOf(ops::TensorId tensor);
  // The optimizer's reads can wait: that of others hold compute up.
  bool ComputeWaitsFor(ops::TensorId tensor) const;
  // Cost of reading the tensor in `to`; a variable's value stays as it is.
  double Reading(ops::TensorId tensor, const ops::NdSbp& from,
                 const ops::NdSbp& to);
  bool Moves(ops::TensorId tensor) const {
    return !of_parameters_[tensor] || split_root_[tensor] != ops::kNone;
  }
  // Per step, of a tensor that is not needed in every one.
  double BoxingSeconds(ops::TensorId tensor, const ops::NdSbp& from,
                       const ops::NdSbp& to) {
    return RoutesOf(tensor).Seconds(from, to) / every_[tensor];
  }
  bool IsVariable(ops::TensorId tensor) const {
    return lookup_(graph_.nodes[graph_.tensors[tensor].producer].op)
        ->is_variable;
  }
  const ops::NdSbp& Produced(ops::TensorId tensor, int label) const {
    const ops::Tensor& t = graph_.tensors[tensor];
    return labels_[t.producer][label].outputs[t.output_index];
  }
  // May be split although devices compute with all of it: trainable, not
  // pinned, rows for every device.
  bool CanSplit(const ops::Node& variable) const;
  bool IsSplitByRows(const ops::NdSbp& sbp) const;
  // It changes what it reads: in place.
  bool IsMutator(const Reader& reader) const;

  // held_memory.cc, with AtPrice and TotalsOf:
  void FindHeld();
  void HoldAsProduced(ops::TensorId tensor);
  struct Boxed {
    ops::NdSbp from, to;
  };
  // `variable`: the tensor's own, whose labels are these pairs, boxed in so
  // many seconds.
  void HoldShared(ops::TensorId tensor, int variable,
                  const std::vector<Boxed>& choices,
                  const std::vector<double>& boxing_seconds);
  // Of the first device's share.
  double Bytes(ops::TensorId tensor, const ops::NdSbp& sbp);
  // What the tensor holds if its producer has this label, and nothing moves.
  Held HeldAsProduced(ops::TensorId tensor, int label);
  double AgainSeconds(ops::TensorId tensor, int label) const;
  bool IsInAnyCase(const Held& held) const {
    return rules_.keeping == Keeping::kLeast && !held.gathered;
  }
  // It is cheaper to have it again than to hold it.
  bool Goes(const Held& held, double price) const;
  const Held& EntryOf(const HeldTable& table,
                      const std::vector<int>& labels) const;

  const ops::Graph& graph_;
  const Cluster& cluster_;
  const ops::Mesh mesh_;
  const std::map<std::string, ops::NdSbp>& pins_;
  const ops::OpLookup lookup_;
  const SbpRules rules_;
  const bool alike_;
  const PartSets fastest_sets_;
  std::vector<std::vector<ops::NdSignature>> labels_;  // By node.
  std::vector<std::vector<Reader>> readers_;           // By tensor.
  std::vector<int> every_;           // By tensor: ComputeEvery.
  std::vector<bool> of_parameters_;  // By tensor: variables, casts of them ...
  // By tensor: the variable that it is made of alone, if that CanSplit; kNone.
  std::vector<ops::TensorId> split_root_;
  std::vector<bool> saved_;  // By tensor: held for the backward pass.
  std::map<ops::TensorId, std::vector<ops::NodeId>> recomputable_;
  std::map<std::string, int> variable_of_part_;  // Of problem_.
  PairwiseProblem problem_;
  std::vector<HeldTable> held_;
  // By type, and by whether compute waits.
  std::map<std::tuple<ops::DataType, std::vector<int64_t>, bool>,
           std::unique_ptr<BoxingRoutes>>
      routes_;
  std::map<std::tuple<ops::DataType, std::vector<int64_t>, ops::NdSbp>, double>
      bytes_;
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_SBP_PROBLEM_H_
