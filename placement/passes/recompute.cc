#include "placement/passes/recompute.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/graph/nd_sbp.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"
#include "placement/cost/op_cost.h"

namespace facet::placement {
namespace {

using ops::kNone;
using ops::NodeId;
using ops::TensorId;

// A tensor of less than this part of the largest is not worth a task.
constexpr int64_t kLeastPart = 256;

bool IsForward(const ops::Node& node) {
  return node.origin.phase == ops::Phase::kForward ||
         node.origin.phase == ops::Phase::kData;
}

// Running it twice in a step is the same as once.
bool IsRepeatable(const ops::Node& node, const ops::OpDef& def) {
  return node.origin.phase == ops::Phase::kForward && !node.inputs.empty() &&
         !def.is_variable && !def.has_side_effect && def.mutates.empty() &&
         !def.physical && def.stream == ops::StreamKind::kCompute;
}

// How the forward pass's tensors are used.
class Activations {
 public:
  Activations(const PlacedGraph& placed, ops::OpLookup lookup)
      : graph_(placed.graph),
        large_(graph_.tensors.size(), false),
        saved_(graph_.tensors.size(), false),
        repeatable_(graph_.tensors.size(), false) {
    for (const ops::Node& node : graph_.nodes) {
      if (IsForward(node)) {
        const bool repeatable = IsRepeatable(node, *lookup(node.op));
        for (TensorId t : node.outputs) repeatable_[t] = repeatable;
      } else {
        for (TensorId t : node.inputs) saved_[t] = IsForward(Producer(t));
      }
    }
    int64_t largest = 0;
    for (size_t t = 0; t < saved_.size(); ++t) {
      if (saved_[t] && repeatable_[t]) {
        largest = std::max(largest, graph_.tensors[t].type.size_bytes());
      }
    }
    for (size_t t = 0; t < large_.size(); ++t) {
      large_[t] = graph_.tensors[t].type.size_bytes() * kLeastPart > largest &&
                  !lookup(Producer(static_cast<TensorId>(t)).op)->is_variable;
    }
  }

  const ops::Node& Producer(TensorId t) const {
    return graph_.nodes[graph_.tensors[t].producer];
  }
  bool large(TensorId t) const { return large_[t]; }
  // The backward pass reads it.
  bool saved(TensorId t) const { return saved_[t]; }
  bool repeatable(TensorId t) const { return repeatable_[t]; }
  // There only as long as the forward pass needs it: what is computed again
  // from it needs a copy of it, too.
  bool passing(TensorId t) const {
    return large_[t] && !saved_[t] && repeatable_[t];
  }

 private:
  const ops::Graph& graph_;
  std::vector<bool> large_, saved_, repeatable_;  // By tensor.
};

// Parameters and constants; what is computed from such alone is, too.
bool IsParameter(const ops::Node& node, const ops::OpDef& def) {
  if (def.is_variable) return node.attributes.Bool("trainable");
  return node.inputs.empty() && def.stream == ops::StreamKind::kCompute;
}

// By tensor: the only large one that the forward pass still needs right after
// it was made. What is computed from parameters alone, such as casts of them,
// does not count.
std::vector<bool> AllGoesThrough(const ops::Graph& graph,
                                 const Activations& activations,
                                 ops::OpLookup lookup) {
  std::vector<bool> of_parameters(graph.tensors.size(), false);
  std::vector<NodeId> last_reader(graph.tensors.size(), kNone);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const ops::Node& node = graph.nodes[n];
    if (!IsForward(node)) continue;
    const bool all_are =
        node.inputs.empty()
            ? IsParameter(node, *lookup(node.op))
            : std::all_of(node.inputs.begin(), node.inputs.end(),
                          [&](TensorId t) { return of_parameters[t]; });
    for (TensorId t : node.inputs) last_reader[t] = static_cast<NodeId>(n);
    for (TensorId t : node.outputs) of_parameters[t] = all_are;
  }
  std::vector<bool> all_goes_through(graph.tensors.size(), false);
  std::vector<TensorId> live;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const ops::Node& node = graph.nodes[n];
    if (!IsForward(node)) continue;
    live.erase(std::remove_if(live.begin(), live.end(),
                              [&](TensorId t) {
                                return last_reader[t] <= static_cast<NodeId>(n);
                              }),
               live.end());
    for (TensorId t : node.outputs) {
      const bool counts = activations.large(t) && !of_parameters[t];
      if (counts && last_reader[t] != kNone) live.push_back(t);
    }
    for (TensorId t : node.outputs) {
      all_goes_through[t] = live.size() == 1 && live[0] == t;
    }
  }
  return all_goes_through;
}

class Finder {
 public:
  Finder(const PlacedGraph& placed, const Cluster& cluster,
         ops::OpLookup lookup)
      : placed_(placed),
        graph_(placed.graph),
        cluster_(cluster),
        lookup_(lookup),
        mesh_(MeshOf(cluster)),
        activations_(placed, lookup),
        goes_(graph_.tensors.size(), false) {}

  std::vector<Recomputable> Run() {
    const std::vector<bool> all_goes_through =
        AllGoesThrough(graph_, activations_, lookup_);
    std::vector<Recomputable> found;
    for (const ops::Node& node : graph_.nodes) {
      for (TensorId t : node.outputs) {
        if (!activations_.saved(t) || !activations_.large(t) ||
            !activations_.repeatable(t)) {
          continue;
        }
        if (all_goes_through[t] && !(IsCheap(node) && StaysWhatItIsOf(node))) {
          continue;
        }
        goes_[t] = true;
        found.push_back({t, LocalType(t).size_bytes(), SecondsFor(t)});
      }
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const Recomputable& a, const Recomputable& b) {
                       return a.seconds * static_cast<double>(b.bytes) <
                              b.seconds * static_cast<double>(a.bytes);
                     });
    return found;
  }

 private:
  ops::TensorType LocalType(TensorId t) const {
    const ops::TensorType& type = graph_.tensors[t].type;
    return {type.dtype,
            ops::LocalRegion(type.shape, placed_.sbp[t], mesh_, 0).shape};
  }
  std::vector<ops::TensorType> LocalTypes(
      const std::vector<TensorId>& tensors) const {
    std::vector<ops::TensorType> types;
    for (TensorId t : tensors) types.push_back(LocalType(t));
    return types;
  }

  bool IsCheap(const ops::Node& node) const {
    const std::vector<ops::TensorType> inputs = LocalTypes(node.inputs);
    const std::vector<ops::TensorType> outputs = LocalTypes(node.outputs);
    const ops::Cost cost =
        ops::LocalCost(*lookup_(node.op), {node.attributes, inputs, outputs});
    const DeviceSpec& device = cluster_.devices[0];
    return cost.flops / device.flops_per_second(inputs[0].dtype) <=
           cost.bytes / device.memory_bytes_per_second;
  }

  bool StaysWhatItIsOf(const ops::Node& node) const {
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](TensorId t) {
      return !activations_.large(t) || (!goes_[t] && !activations_.passing(t));
    });
  }

  double NodeSeconds(const ops::Node& node) const {
    const std::vector<ops::TensorType> inputs = LocalTypes(node.inputs);
    const std::vector<ops::TensorType> outputs = LocalTypes(node.outputs);
    return LocalOpSeconds(*lookup_(node.op), {node.attributes, inputs, outputs},
                          cluster_.devices[0]);
  }

  // With what it is computed from and nobody keeps.
  double SecondsFor(TensorId tensor) const {
    double seconds = 0;
    std::vector<NodeId> nodes = {graph_.tensors[tensor].producer};
    for (size_t i = 0; i < nodes.size(); ++i) {
      const ops::Node& node = graph_.nodes[nodes[i]];
      seconds += NodeSeconds(node);
      for (TensorId t : node.inputs) {
        const NodeId producer = graph_.tensors[t].producer;
        if (activations_.passing(t) &&
            std::find(nodes.begin(), nodes.end(), producer) == nodes.end()) {
          nodes.push_back(producer);
        }
      }
    }
    return seconds;
  }

  const PlacedGraph& placed_;
  const ops::Graph& graph_;
  const Cluster& cluster_;
  const ops::OpLookup lookup_;
  const ops::Mesh mesh_;
  const Activations activations_;
  std::vector<bool> goes_;  // By tensor: found.
};

// Copies the graph node by node.
class Rewriter {
 public:
  Rewriter(const PlacedGraph& placed, const std::vector<TensorId>& tensors,
           ops::OpLookup lookup)
      : placed_(placed),
        graph_(placed.graph),
        activations_(placed, lookup),
        goes_(graph_.tensors.size(), false),
        new_id_(graph_.tensors.size(), kNone),
        again_(graph_.tensors.size(), kNone),
        builder_(&result_.graph, lookup) {
    result_.graph.name = graph_.name;
    for (TensorId t : tensors) goes_[t] = true;
  }
  Rewriter(const Rewriter&) = delete;
  Rewriter& operator=(const Rewriter&) = delete;

  absl::StatusOr<PlacedGraph> Run() {
    for (const ops::Node& node : graph_.nodes) {
      std::vector<TensorId> inputs;
      if (!IsForward(node)) RETURN_IF_ERROR(ComputeAgain(node.inputs));
      for (TensorId t : node.inputs) {
        inputs.push_back(!IsForward(node) && goes_[t] ? again_[t] : new_id_[t]);
      }
      RETURN_IF_ERROR(
          Add(node, node.name, node.origin.phase, inputs, &new_id_));
    }
    CHECK_EQ(result_.sbp.size(), result_.graph.tensors.size());
    return std::move(result_);
  }

 private:
  absl::Status Add(const ops::Node& node, const std::string& name,
                   ops::Phase phase, const std::vector<TensorId>& inputs,
                   std::vector<TensorId>* ids) {
    ops::Origin origin = node.origin;
    origin.phase = phase;
    builder_.set_origin(std::move(origin));
    ASSIGN_OR_RETURN(const std::vector<TensorId> outputs,
                     builder_.Add(node.op, name, inputs, node.attributes));
    for (size_t o = 0; o < outputs.size(); ++o) {
      (*ids)[node.outputs[o]] = outputs[o];
      if (name == node.name) {
        result_.graph.tensors[outputs[o]].name =
            placed_.graph.tensors[node.outputs[o]].name;
      }
      result_.sbp.push_back(placed_.sbp[node.outputs[o]]);
    }
    return absl::OkStatus();
  }

  // Those of `tensors` that go, and what they are computed from and is gone.
  absl::Status ComputeAgain(const std::vector<TensorId>& tensors) {
    std::vector<NodeId> missing;
    auto need = [&](TensorId t) {
      if (again_[t] != kNone) return;
      const NodeId producer = graph_.tensors[t].producer;
      if (std::find(missing.begin(), missing.end(), producer) ==
          missing.end()) {
        missing.push_back(producer);
      }
    };
    for (TensorId t : tensors) {
      if (goes_[t]) need(t);
    }
    for (size_t i = 0; i < missing.size(); ++i) {
      for (TensorId t : graph_.nodes[missing[i]].inputs) {
        if (IsGone(t)) need(t);
      }
    }
    // In the order of the forward pass.
    std::sort(missing.begin(), missing.end());
    for (NodeId n : missing) {
      const ops::Node& node = graph_.nodes[n];
      std::vector<TensorId> inputs;
      for (TensorId t : node.inputs) {
        inputs.push_back(IsGone(t) ? again_[t] : new_id_[t]);
      }
      RETURN_IF_ERROR(Add(node, absl::StrCat(node.name, kAgain),
                          ops::Phase::kBackward, inputs, &again_));
    }
    return absl::OkStatus();
  }

  bool IsGone(TensorId t) const { return goes_[t] || activations_.passing(t); }

  const PlacedGraph& placed_;
  const ops::Graph& graph_;
  const Activations activations_;
  std::vector<bool> goes_;        // By tensor of the graph.
  std::vector<TensorId> new_id_;  // By tensor of the graph.
  std::vector<TensorId> again_;   // The same, of the copies.
  PlacedGraph result_;
  ops::GraphBuilder builder_;
};

}  // namespace

std::vector<Recomputable> FindRecomputable(const PlacedGraph& placed,
                                           const Cluster& cluster,
                                           ops::OpLookup lookup) {
  return Finder(placed, cluster, lookup).Run();
}

absl::StatusOr<PlacedGraph> Recompute(const PlacedGraph& placed,
                                      const std::vector<TensorId>& tensors,
                                      ops::OpLookup lookup) {
  return Rewriter(placed, tensors, lookup).Run();
}

}  // namespace facet::placement
