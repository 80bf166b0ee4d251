// Activations: which tensors of the forward pass are held for the backward
// pass, and which of them could be computed again there instead.
#ifndef FACET_PLACEMENT_PASSES_ACTIVATIONS_H_
#define FACET_PLACEMENT_PASSES_ACTIVATIONS_H_

#include <vector>

#include "ops/graph/graph.h"
#include "ops/op_def.h"
#include "placement/cluster.h"

namespace facet::placement {

// What the names of nodes end with that are there a second time, for the
// backward pass.
inline constexpr char kAgain[] = "/again";

// Of the forward pass, or of the input that it works on.
bool IsForward(const ops::Node& node);

// How the forward pass's tensors are used.
class Activations {
 public:
  // The graph must outlive this.
  Activations(const ops::Graph& graph, ops::OpLookup lookup);

  // Not small beside the largest that the backward pass reads, and no variable.
  bool large(ops::TensorId t) const { return large_[t]; }
  // The backward pass reads it.
  bool saved(ops::TensorId t) const { return saved_[t]; }
  // Running its node twice in a step is the same as once.
  bool repeatable(ops::TensorId t) const { return repeatable_[t]; }
  // There only as long as the forward pass needs it: what is computed again
  // from it needs a copy of it, too.
  bool passing(ops::TensorId t) const {
    return large_[t] && !saved_[t] && repeatable_[t];
  }

 private:
  const ops::Node& Producer(ops::TensorId t) const {
    return graph_.nodes[graph_.tensors[t].producer];
  }

  const ops::Graph& graph_;
  std::vector<bool> large_, saved_, repeatable_;  // By tensor.
};

// A tensor that the backward pass reads and that could be computed again.
struct Recomputable {
  ops::TensorId tensor = ops::kNone;
  // That run again for it: its producer first, then those of what that is
  // computed from and nobody keeps.
  std::vector<ops::NodeId> nodes;
};

// In the order of the graph. Together they are a choice, too: what all of them
// are computed from is kept, so that no more than what lies between two kept
// tensors is ever there again at once. Kept are, therefore, the tensors that
// all later work goes through (the sums behind residual blocks); such a one may
// go only if it is cheap (bound by memory traffic on this device, not
// arithmetic) and made of tensors that stay. Tensors that are small beside the
// largest stay, and what is made of large ones that would have to be kept
// instead (input data).
std::vector<Recomputable> FindRecomputable(const ops::Graph& graph,
                                           const DeviceSpec& device,
                                           ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_ACTIVATIONS_H_
