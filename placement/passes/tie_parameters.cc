// The rule of assign_sbp.h about the parameters of one part of the model.

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "placement/passes/sbp_problem.h"

namespace facet::placement {

using ops::NdSbp;
using ops::NodeId;
using ops::Sbp;
using ops::TensorId;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

bool SbpProblem::CanSplit(const ops::Node& variable) const {
  const ops::Tensor& tensor = graph_.tensors[variable.outputs[0]];
  const auto set = fastest_sets_.find(variable.origin.part);
  return rules_.parameters != Parameters::kFastest &&
         set != fastest_sets_.end() && set->second == 0 &&
         pins_.count(tensor.name) == 0 &&
         variable.attributes.Has("trainable") &&
         variable.attributes.Bool("trainable") &&
         tensor.type.shape.rank() > 0 &&
         tensor.type.shape[0] >= cluster_.num_devices();
}

bool SbpProblem::IsSplitByRows(const NdSbp& sbp) const {
  for (int a = 0; a < mesh_.num_axes(); ++a) {
    if (mesh_.sizes[a] > 1 && sbp[a] != Sbp::S(0)) return false;
  }
  return true;
}

// One variable per part of the model, whose labels are the sets of axes along
// which its parameters are split: bit a is axis a.
void SbpProblem::TieParameters() {
  const int num_sets = 1 << mesh_.num_axes();
  auto split_axes = [](const NdSbp& sbp) {
    int set = 0;
    for (int a = 0; a < sbp.num_axes(); ++a) {
      if (sbp[a].is_split()) set |= 1 << a;
    }
    return set;
  };
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
      auto [it, is_new] = variable_of_part_.try_emplace(
          node.origin.part, static_cast<int>(problem_.unary.size()));
      if (is_new) {
        std::vector<double> sets(num_sets, 0.0);
        const auto fixed = fastest_sets_.find(node.origin.part);
        if (rules_.parameters == Parameters::kSplit &&
            fixed != fastest_sets_.end()) {
          std::fill(sets.begin(), sets.end(), kInfinity);
          sets[fixed->second] = 0;
        }
        problem_.unary.push_back(std::move(sets));
      }
      const int part = it->second;
      auto tie = [&](NodeId tied, const auto& cost) {
        PairwiseProblem::Pair pair{tied, part, {}};
        for (size_t l = 0; l < labels_[tied].size(); ++l) {
          for (int wanted = 0; wanted < num_sets; ++wanted) {
            pair.cost.push_back(cost(static_cast<int>(l), wanted));
          }
        }
        problem_.pairs.push_back(std::move(pair));
      };
      const bool can_split = CanSplit(node);
      tie(source, [&](int label, int wanted) {
        const NdSbp& sbp = Produced(parameter, label);
        const bool by_rows = wanted == 0 && can_split && IsSplitByRows(sbp);
        const bool must = can_split && rules_.parameters == Parameters::kSplit;
        return by_rows || (!must && split_axes(sbp) == wanted) ? 0.0
                                                               : kInfinity;
      });
      // Who computes with a split parameter has it as if it were not.
      for (size_t t = 0; can_split && t < readers_.size(); ++t) {
        if (split_root_[t] != parameter) continue;
        for (const Reader& reader : readers_[t]) {
          const ops::Node& user = graph_.nodes[reader.node];
          const bool is_made_of_it =
              !user.outputs.empty() && of_parameters_[user.outputs[0]];
          if (IsMutator(reader) || is_made_of_it) continue;
          tie(reader.node, [&](int label, int wanted) {
            return split_axes(
                       labels_[reader.node][label].inputs[reader.input]) ==
                           wanted
                       ? 0.0
                       : kInfinity;
          });
        }
      }
      // The gradient of a whole parameter is summed up, not gathered.
      for (TensorId gradient : update.inputs) {
        if (IsVariable(gradient) || graph_.tensors[gradient].type.shape !=
                                        graph_.tensors[parameter].type.shape) {
          continue;
        }
        tie(graph_.tensors[gradient].producer, [&](int label, int wanted) {
          return (split_axes(Produced(gradient, label)) & ~wanted) == 0
                     ? 0.0
                     : kInfinity;
        });
      }
    }
  }
}

}  // namespace facet::placement
