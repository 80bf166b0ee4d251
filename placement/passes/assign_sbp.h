// AssignSbp: chooses a signature for every node so that the modelled time of a
// step (compute, and communication where neighbours disagree) is least, within
// a limit on the memory that is held if there is one.
#ifndef FACET_PLACEMENT_PASSES_ASSIGN_SBP_H_
#define FACET_PLACEMENT_PASSES_ASSIGN_SBP_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/graph/nd_sbp.h"
#include "ops/op_def.h"
#include "placement/cluster.h"
#include "placement/passes/sbp_assignment.h"

namespace facet::placement {

// What AssignSbp and SbpSearch have in common. Pins: by tensor name, the SBP in
// which it must be produced. InvalidArgument for an unknown tensor, or a pin
// that no signature of its producer offers (names the tensor, its shape and the
// SBPs that were possible). Where the graph is too tangled for an exact search
// and greedy choices lead nowhere, SBPs that are the same along all axes (any,
// for parts of the model with a pin that is not) are searched; Unimplemented if
// there are none, or on a mesh of one axis.
//
// A variable lies as its mutator needs it, and its other readers take it (and
// what is computed from variables alone, such as a cast) as it lies: parameters
// are not moved between devices within a step.
//
// The parameters of one part of the model (backbone, head) are, along each axis
// of the mesh, either all whole or all split. Mixtures per layer may move fewer
// bytes when the batch is small (a layer with more weights than activations),
// but they put exchanges of activations between the layers, where devices wait
// for each other, in place of gradient exchanges that can overlap with compute.

// As fast as can be, whatever it holds.
absl::StatusOr<SbpAssignment> AssignSbp(
    const ops::Graph& graph, const Cluster& cluster,
    const std::map<std::string, ops::NdSbp>& pins, ops::OpLookup lookup,
    SbpRules rules = {});

// As fast as can be, within memory. The graph, cluster and pins must outlive
// it.
class SbpSearch {
 public:
  static absl::StatusOr<SbpSearch> Make(
      const ops::Graph& graph, const Cluster& cluster,
      const std::map<std::string, ops::NdSbp>& pins, ops::OpLookup lookup,
      SbpRules rules = {});
  SbpSearch(SbpSearch&&) noexcept;
  SbpSearch& operator=(SbpSearch&&) noexcept;
  ~SbpSearch();

  // Of the assignments that hold no more than `bytes` (SbpAssignment::
  // held_bytes), the fastest that was found, and how much faster another one
  // could be (lower_bound). Memory gets a price (cheapest_within.h), by which
  // all choices are made at once: SBPs, shared out parameters, activations
  // that are computed again. ResourceExhausted if nothing holds so little.
  absl::StatusOr<SbpAssignment> Within(double bytes);
  // Of those that hold least, the fastest.
  absl::StatusOr<SbpAssignment> Least();

  // By node, by option (as SbpAssignment::options lists them): the least
  // modelled time of a step in which the node has this signature, with the best
  // of everything else under the same rules; infinity if there is none. Of
  // those that hold no more than `bytes`, where a byte is worth
  // `seconds_per_byte` (of an assignment that Within gave): a lower bound.
  // Unimplemented if the graph is too tangled for an exact answer.
  absl::StatusOr<std::vector<std::vector<double>>> SecondsWithEachOption(
      double bytes, double seconds_per_byte) const;

 private:
  struct Rep;
  explicit SbpSearch(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_ASSIGN_SBP_H_
