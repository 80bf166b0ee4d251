// AssignSbp: chooses a signature for every node so that the modelled time of a
// step (compute, and communication where neighbours disagree) is least.
#ifndef FACET_PLACEMENT_PASSES_ASSIGN_SBP_H_
#define FACET_PLACEMENT_PASSES_ASSIGN_SBP_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/graph/nd_sbp.h"
#include "ops/nd_signature.h"
#include "ops/op_def.h"
#include "placement/cluster.h"

namespace facet::placement {

// A signature that was possible, and what the step would cost with the best
// choice for everything else left as chosen (seconds; the chosen one's own
// entry is the total).
struct SbpOption {
  ops::NdSignature signature;
  double compute_seconds = 0;  // Of this node.
  double communication_seconds =
      0;  // On its edges, with the neighbours' choice.
};

// Whether devices that could have a parameter whole share it out instead.
enum class Parameters {
  // As it is fastest. They are not moved between devices within a step.
  kFastest,
  // Of the parts of the model whose parameters are fastest whole, every
  // trainable variable is split along its first dimension, along all axes of
  // the mesh, and its optimizer's state with it (as ZeRO: Rajbhandari et al.,
  // "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models",
  // 2020): gradients are reduce-scattered, and who computes with the weight
  // gathers it. What has fewer rows than there are devices stays whole.
  kSplit,
};

struct SbpAssignment {
  std::vector<ops::NdSignature> chosen;         // By node.
  std::vector<ops::NdSbp> produced;             // By tensor.
  std::vector<std::vector<SbpOption>> options;  // By node: all of them.
  // By tensor, by the SBP in which a reader wants it otherwise: the SBPs that
  // it goes through, one boxing step after the other; the last is the one
  // wanted.
  std::vector<std::map<ops::NdSbp, std::vector<ops::NdSbp>>> routes;
  double seconds = 0;  // Modelled step time.
  // No assignment that keeps the rules below (and the pins) has less; ==
  // seconds: exact. One that breaks the rule about parts may have less.
  double lower_bound = 0;
};

// Pins: by tensor name, the SBP in which it must be produced. InvalidArgument
// for an unknown tensor, or a pin that no signature of its producer offers
// (names the tensor, its shape and the SBPs that were possible). Where the
// graph is too tangled for an exact search and greedy choices lead nowhere,
// SBPs that are the same along all axes (any, for parts of the model with a
// pin that is not) are searched; Unimplemented if there are none, or on a mesh
// of one axis.
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
absl::StatusOr<SbpAssignment> AssignSbp(
    const ops::Graph& graph, const Cluster& cluster,
    const std::map<std::string, ops::NdSbp>& pins, ops::OpLookup lookup,
    Parameters parameters = Parameters::kFastest);

// By node, by option (as SbpAssignment::options lists them): the least modelled
// time of a step in which the node has this signature, with the best of
// everything else under the same rules; infinity if there is none. The least of
// a node's is SbpAssignment::seconds. Unimplemented if the graph is too tangled
// for an exact answer.
absl::StatusOr<std::vector<std::vector<double>>> SecondsWithEachOption(
    const ops::Graph& graph, const Cluster& cluster,
    const std::map<std::string, ops::NdSbp>& pins, ops::OpLookup lookup,
    Parameters parameters = Parameters::kFastest);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_ASSIGN_SBP_H_
