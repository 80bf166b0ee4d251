#include "placement/passes/activations.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "ops/graph_builder.h"

namespace facet::placement {
namespace {

using ops::kNone;
using ops::NodeId;
using ops::TensorId;

// A tensor of less than this part of the largest is not worth a task.
constexpr int64_t kLeastPart = 256;

bool IsRepeatable(const ops::Node& node, const ops::OpDef& def) {
  return node.origin.phase == ops::Phase::kForward && !node.inputs.empty() &&
         !def.is_variable && !def.has_side_effect && def.mutates.empty() &&
         !def.physical && def.stream == ops::StreamKind::kCompute;
}

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
  Finder(const ops::Graph& graph, const DeviceSpec& device,
         ops::OpLookup lookup)
      : graph_(graph),
        device_(device),
        lookup_(lookup),
        activations_(graph, lookup),
        goes_(graph.tensors.size(), false) {}

  std::vector<Recomputable> Run() {
    const std::vector<bool> all_goes_through =
        AllGoesThrough(graph_, activations_, lookup_);
    std::vector<Recomputable> found;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const ops::Node& node = graph_.nodes[n];
      for (TensorId t : node.outputs) {
        if (!activations_.saved(t) || !activations_.large(t) ||
            !activations_.repeatable(t)) {
          continue;
        }
        if (all_goes_through[t] &&
            !(IsCheap(static_cast<NodeId>(n)) && StaysWhatItIsOf(node))) {
          continue;
        }
        std::vector<NodeId> nodes = NodesFor(t);
        if (!std::all_of(nodes.begin(), nodes.end(), [&](NodeId again) {
              return IsThereWhatItReads(graph_.nodes[again]);
            })) {
          continue;
        }
        goes_[t] = true;
        found.push_back({t, std::move(nodes)});
      }
    }
    return found;
  }

 private:
  bool IsCheap(NodeId n) const {
    const ops::NodeCall types(graph_, n);
    const ops::OpCall call = types.call();
    const ops::Cost cost = ops::LocalCost(*lookup_(graph_.nodes[n].op), call);
    return cost.flops / device_.flops_per_second(call.inputs[0].dtype) <=
           cost.bytes / device_.memory_bytes_per_second;
  }

  bool StaysWhatItIsOf(const ops::Node& node) const {
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](TensorId t) {
      return !activations_.large(t) || (!goes_[t] && !activations_.passing(t));
    });
  }

  // Or made again. Else it would have to be kept for that.
  bool IsThereWhatItReads(const ops::Node& node) const {
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](TensorId t) {
      return !activations_.large(t) || activations_.saved(t) ||
             activations_.repeatable(t);
    });
  }

  std::vector<NodeId> NodesFor(TensorId tensor) const {
    std::vector<NodeId> nodes = {graph_.tensors[tensor].producer};
    for (size_t i = 0; i < nodes.size(); ++i) {
      for (TensorId t : graph_.nodes[nodes[i]].inputs) {
        const NodeId producer = graph_.tensors[t].producer;
        if (activations_.passing(t) &&
            std::find(nodes.begin(), nodes.end(), producer) == nodes.end()) {
          nodes.push_back(producer);
        }
      }
    }
    return nodes;
  }

  const ops::Graph& graph_;
  const DeviceSpec& device_;
  const ops::OpLookup lookup_;
  const Activations activations_;
  std::vector<bool> goes_;  // By tensor: found.
};

}  // namespace

bool IsForward(const ops::Node& node) {
  return node.origin.phase == ops::Phase::kForward ||
         node.origin.phase == ops::Phase::kData;
}

Activations::Activations(const ops::Graph& graph, ops::OpLookup lookup)
    : graph_(graph),
      large_(graph.tensors.size(), false),
      saved_(graph.tensors.size(), false),
      repeatable_(graph.tensors.size(), false) {
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

std::vector<Recomputable> FindRecomputable(const ops::Graph& graph,
                                           const DeviceSpec& device,
                                           ops::OpLookup lookup) {
  return Finder(graph, device, lookup).Run();
}

}  // namespace facet::placement
