#include "placement/passes/insert_boxing.h"

#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"
#include "placement/passes/activations.h"

namespace facet::placement {

absl::StatusOr<PlacedGraph> InsertBoxing(const ops::Graph& graph,
                                         const SbpAssignment& assignment,
                                         ops::OpLookup lookup) {
  PlacedGraph placed;
  placed.graph.name = graph.name;
  ops::GraphBuilder builder(&placed.graph, lookup);
  std::vector<ops::TensorId> new_id(graph.tensors.size(), ops::kNone);
  const std::vector<int> every = ops::ComputeEvery(graph);
  // Readers that want the same share one boxing node.
  std::map<std::tuple<ops::TensorId, ops::NdSbp, bool>, ops::TensorId> boxed;
  std::vector<bool> gathered_again(graph.tensors.size(), false);
  for (const MadeAgain& again : assignment.again) {
    if (again.gathered) gathered_again[again.tensor] = true;
  }
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const ops::Node& node = graph.nodes[n];
    const ops::NdSignature& signature = assignment.chosen[n];
    std::vector<ops::TensorId> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ops::TensorId tensor = node.inputs[i];
      const ops::NdSbp& want = signature.inputs[i];
      ops::TensorId at = new_id[tensor];
      if (assignment.produced[tensor] != want) {
        const bool again = gathered_again[tensor] &&
                           node.origin.phase == ops::Phase::kBackward;
        // The first reader decides where in the step a boxing belongs.
        const ops::Node& producer = graph.nodes[graph.tensors[tensor].producer];
        ops::Origin origin = producer.origin;
        origin.phase = node.origin.phase;
        origin.every = every[tensor];
        origin.again = again;
        for (const ops::NdSbp& next : assignment.routes[tensor].at(want)) {
          auto [it, is_new] =
              boxed.try_emplace({tensor, next, again}, ops::kNone);
          if (is_new) {
            builder.set_origin(origin);
            ASSIGN_OR_RETURN(
                const std::vector<ops::TensorId> outputs,
                builder.Add("boxing",
                            absl::StrCat(graph.tensors[tensor].name, "/to_",
                                         next.ToString(), again ? kAgain : ""),
                            {at}));
            placed.sbp.push_back(next);
            it->second = outputs[0];
          }
          at = it->second;
        }
      }
      inputs.push_back(at);
    }
    ASSIGN_OR_RETURN(const std::vector<ops::TensorId> outputs,
                     builder.AddCopy(graph, node, inputs));
    CHECK_EQ(placed.graph.nodes.back().name, node.name);
    for (size_t o = 0; o < outputs.size(); ++o) {
      new_id[node.outputs[o]] = outputs[o];
      placed.sbp.push_back(signature.outputs[o]);
    }
  }
  CHECK_EQ(placed.sbp.size(), placed.graph.tensors.size());
  return placed;
}

}  // namespace facet::placement
