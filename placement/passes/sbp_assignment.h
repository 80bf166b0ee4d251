// SbpAssignment: where every tensor of a graph lies, and what that costs.
#ifndef FACET_PLACEMENT_PASSES_SBP_ASSIGNMENT_H_
#define FACET_PLACEMENT_PASSES_SBP_ASSIGNMENT_H_

#include <limits>
#include <map>
#include <vector>

#include "ops/graph/graph.h"
#include "ops/graph/nd_sbp.h"
#include "ops/nd_signature.h"

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
  // trainable variable may be split along its first dimension, along all axes
  // of the mesh, and its optimizer's state with it (as ZeRO: Rajbhandari et
  // al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter
  // Models", 2020): gradients are reduce-scattered, and who computes with the
  // weight gathers it. What has fewer rows than there are devices stays whole.
  kMaySplit,
  // Every one that may be is.
  kSplit,
};

// Whether the backward pass computes again what it could have kept.
enum class Keeping {
  kAll,     // Nothing is computed again.
  kChosen,  // What memory is too short for.
  kLeast,   // All that may be is computed again.
};

// What an assignment is chosen from.
struct SbpRules {
  Parameters parameters = Parameters::kFastest;
  Keeping keeping = Keeping::kAll;
};

// What the backward pass has made again for it: an activation, or what a
// parameter that is shared out was gathered to.
struct MadeAgain {
  ops::TensorId tensor = ops::kNone;
  bool gathered = false;
  double bytes = 0;  // Of the first device's share: not held.
  double seconds = 0;
};

struct SbpAssignment {
  std::vector<ops::NdSignature> chosen;         // By node.
  std::vector<ops::NdSbp> produced;             // By tensor.
  std::vector<std::vector<SbpOption>> options;  // By node: all of them.
  // By tensor, by the SBP in which a reader wants it otherwise: the SBPs that
  // it goes through, one boxing step after the other; the last is the one
  // wanted.
  std::vector<std::map<ops::NdSbp, std::vector<ops::NdSbp>>> routes;
  std::vector<MadeAgain> again;
  // Parameters that devices have in shares although they compute with all of
  // them.
  std::vector<ops::TensorId> shared_out;
  double seconds = 0;  // Modelled step time.
  // Bytes that the first device, whose shares are largest, holds between the
  // forward and the backward pass: variables, and what the backward pass reads
  // of the forward pass's tensors. A plan needs more: workspaces, gradients.
  double held_bytes = 0;
  // It was to hold no more than that.
  double may_hold = std::numeric_limits<double>::infinity();
  // No assignment that keeps the rules and the pins, and holds no more than was
  // allowed, has less; == seconds: exact. One that breaks the rule about parts
  // may have less.
  double lower_bound = 0;
  // Seconds of step time that a byte is worth where memory is short: it, and
  // all that costs more to go without, is held. 0: there is enough.
  double seconds_per_byte = 0;
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_SBP_ASSIGNMENT_H_
