#include "placement/passes/assign_layout.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/graph/nd_sbp.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"

namespace facet::placement {
namespace {

using ops::Layout;
using ops::NdSbp;
using ops::TensorId;

// By operand: rank 4 and listed in the op's layout rule. `repeated`: the
// operand that stands for all behind it too; kNone: there is none.
std::vector<bool> FreeOperands(const std::vector<int>& rule,
                               absl::Span<const ops::TensorType> types,
                               int repeated) {
  std::vector<bool> is_free(types.size(), false);
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i].shape.rank() != 4) continue;
    const int position = static_cast<int>(i);
    is_free[i] = std::any_of(rule.begin(), rule.end(), [&](int operand) {
      return operand == position || (operand == repeated && operand < position);
    });
  }
  return is_free;
}

bool SplitsWithinRows(const NdSbp& sbp) {
  return std::any_of(sbp.begin(), sbp.end(), [](const ops::Sbp& along_axis) {
    return along_axis.is_split() && along_axis.axis != 0;
  });
}

// Copies the graph node by node, with reorders before nodes that need them.
class LayoutPass {
 public:
  LayoutPass(const PlacedGraph& placed, const Cluster& cluster,
             ops::OpLookup lookup)
      : placed_(placed),
        cluster_(cluster),
        mesh_(MeshOf(cluster)),
        lookup_(lookup),
        builder_(&out_.graph, lookup) {
    out_.graph.name = placed.graph.name;
  }
  LayoutPass(const LayoutPass&) = delete;
  LayoutPass& operator=(const LayoutPass&) = delete;

  absl::StatusOr<LaidOutGraph> Run() {
    const ops::Graph& graph = placed_.graph;
    std::vector<TensorId> new_id(graph.tensors.size(), ops::kNone);
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      const ops::Node& node = graph.nodes[n];
      std::vector<TensorId> inputs;
      for (TensorId t : node.inputs) inputs.push_back(new_id[t]);
      const Operands operands =
          ChooseLayouts(static_cast<ops::NodeId>(n), inputs);
      for (size_t i = 0; i < inputs.size(); ++i) {
        ASSIGN_OR_RETURN(inputs[i], Reorder(inputs[i], operands.inputs[i],
                                            node.origin.phase));
      }
      ASSIGN_OR_RETURN(const std::vector<TensorId> outputs,
                       builder_.AddCopy(graph, node, inputs));
      for (size_t o = 0; o < outputs.size(); ++o) {
        const TensorId old = node.outputs[o];
        new_id[old] = outputs[o];
        out_.sbp.push_back(placed_.sbp[old]);
        out_.layout.push_back(operands.outputs[o]);
        liked_.push_back(operands.liked[o]);
      }
    }
    return std::move(out_);
  }

 private:
  struct Operands {
    std::vector<Layout> inputs;
    std::vector<Layout> outputs;
    // What readers that can choose should take the outputs in.
    std::vector<Layout> liked;
  };

  // `inputs`: the node's, of the new graph.
  Operands ChooseLayouts(ops::NodeId n,
                         const std::vector<TensorId>& inputs) const {
    const ops::Node& node = placed_.graph.nodes[n];
    const ops::OpDef& def = *lookup_(node.op);
    const ops::NodeCall types(placed_.graph, n);
    const ops::OpCall call = types.call();
    const std::vector<bool> free_inputs = FreeOperands(
        def.layout.inputs, call.inputs,
        def.variadic ? static_cast<int>(def.inputs.size()) - 1 : ops::kNone);
    const std::vector<bool> free_outputs =
        FreeOperands(def.layout.outputs, call.outputs, ops::kNone);

    Operands operands;
    operands.inputs.assign(inputs.size(), Layout::kRowMajor);
    operands.outputs.assign(node.outputs.size(), Layout::kRowMajor);
    const Layout common =
        def.layout.same ? CommonLayout(node, inputs, free_inputs, free_outputs)
                        : Layout::kRowMajor;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!free_inputs[i]) continue;
      operands.inputs[i] = def.layout.same ? common : liked_[inputs[i]];
    }
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      if (!free_outputs[o]) continue;
      operands.outputs[o] =
          def.layout.same ? common : Preferred(node.outputs[o]);
    }
    operands.liked = operands.outputs;
    // The only physical ops so far are those that InsertBoxing put in. Shares
    // that are whole rows move as they lie; a split within rows cuts blocks.
    if (def.physical && common != Layout::kRowMajor &&
        (SplitsWithinRows(placed_.sbp[node.inputs[0]]) ||
         SplitsWithinRows(placed_.sbp[node.outputs[0]]))) {
      operands.inputs[0] = Layout::kRowMajor;
      operands.outputs[0] = Layout::kRowMajor;
      operands.liked[0] =
          IsLegal(node.outputs[0], common) ? common : Layout::kRowMajor;
    }
    return operands;
  }

  // For an op whose free operands share one layout: what its inputs like, if
  // they agree, so that nothing is reordered only to be elementwise added
  // (and weights stay row-major when they are cast); else what the kernels do.
  Layout CommonLayout(const ops::Node& node,
                      const std::vector<TensorId>& inputs,
                      const std::vector<bool>& free_inputs,
                      const std::vector<bool>& free_outputs) const {
    std::vector<TensorId> operands;  // Of the placed graph.
    std::vector<Layout> likes;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!free_inputs[i]) continue;
      operands.push_back(node.inputs[i]);
      likes.push_back(liked_[inputs[i]]);
    }
    // Boxing checks its output itself.
    if (!lookup_(node.op)->physical) {
      for (size_t o = 0; o < node.outputs.size(); ++o) {
        if (free_outputs[o]) operands.push_back(node.outputs[o]);
      }
    }
    if (operands.empty()) return Layout::kRowMajor;
    const bool agree =
        !likes.empty() && std::count(likes.begin(), likes.end(), likes[0]) ==
                              static_cast<int>(likes.size());
    const Layout layout = agree ? likes[0] : Preferred(operands[0]);
    for (TensorId t : operands) {
      if (!IsLegal(t, layout)) return Layout::kRowMajor;
    }
    return layout;
  }

  // What the cluster's kernels like, if it is legal. Of the placed graph.
  Layout Preferred(TensorId tensor) const {
    if (cluster_.kernels == nullptr) return Layout::kRowMajor;
    const Layout layout = cluster_.kernels->preferred_layout(
        placed_.graph.tensors[tensor].type.dtype);
    return IsLegal(tensor, layout) ? layout : Layout::kRowMajor;
  }

  // The channels of every device's share must be whole blocks.
  bool IsLegal(TensorId tensor, Layout layout) const {
    const ops::Shape& shape = placed_.graph.tensors[tensor].type.shape;
    for (int d = 0; d < mesh_.num_devices(); ++d) {
      const ops::Region share =
          ops::LocalRegion(shape, placed_.sbp[tensor], mesh_, d);
      if (share.shape[1] % ops::ChannelBlock(layout) != 0) return false;
    }
    return true;
  }

  // The tensor in this layout: itself, or a reorder that later readers share.
  absl::StatusOr<TensorId> Reorder(TensorId tensor, Layout layout,
                                   ops::Phase phase) {
    if (out_.layout[tensor] == layout) return tensor;
    auto [it, is_new] = reordered_.try_emplace({tensor, layout}, ops::kNone);
    if (is_new) {
      const ops::Tensor from = out_.graph.tensors[tensor];
      ops::Origin origin = out_.graph.nodes[from.producer].origin;
      origin.phase = phase;
      builder_.set_origin(std::move(origin));
      ASSIGN_OR_RETURN(
          const std::vector<TensorId> outputs,
          builder_.Add("reorder",
                       absl::StrCat(from.name, "/", ops::LayoutName(layout)),
                       {tensor}));
      out_.sbp.push_back(NdSbp(out_.sbp[tensor]));
      out_.layout.push_back(layout);
      liked_.push_back(layout);
      it->second = outputs[0];
    }
    return it->second;
  }

  const PlacedGraph& placed_;
  const Cluster& cluster_;
  const ops::Mesh mesh_;
  const ops::OpLookup lookup_;
  LaidOutGraph out_;
  std::vector<Layout> liked_;  // By tensor of the new graph.
  ops::GraphBuilder builder_;
  std::map<std::pair<TensorId, Layout>, TensorId> reordered_;
};

}  // namespace

absl::StatusOr<LaidOutGraph> AssignLayout(const PlacedGraph& graph,
                                          const Cluster& cluster,
                                          ops::OpLookup lookup) {
  return LayoutPass(graph, cluster, lookup).Run();
}

}  // namespace facet::placement
