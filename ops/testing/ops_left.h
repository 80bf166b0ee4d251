// What the tests of fuse rules compare: the ops that a rule left.
#ifndef FACET_OPS_TESTING_OPS_LEFT_H_
#define FACET_OPS_TESTING_OPS_LEFT_H_

#include <map>
#include <string>

#include "gtest/gtest.h"
#include "ops/fusion.h"

namespace facet::ops {

// Nodes by op, without given operands and reports. EXPECTs that nobody reads
// what the rule dropped.
inline std::map<std::string, int> OpsLeft(const FusionContext& context) {
  const Graph& graph = context.graph();
  std::map<std::string, int> counts;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (context.dropped(static_cast<NodeId>(n))) continue;
    for (TensorId input : node.inputs) {
      EXPECT_FALSE(context.dropped(graph.tensors[input].producer))
          << node.name << " reads what is gone";
    }
    if (node.op != "given" && node.op != "fetch") ++counts[node.op];
  }
  return counts;
}

}  // namespace facet::ops

#endif  // FACET_OPS_TESTING_OPS_LEFT_H_
