// GraphText: a graph as text, for dumps of the compiler's passes and for tests
// that compare whole graphs. The same graph gives the same text.
#ifndef FACET_OPS_GRAPH_GRAPH_TEXT_H_
#define FACET_OPS_GRAPH_GRAPH_TEXT_H_

#include <string>

#include "ops/graph/graph.h"

namespace facet::ops {

// A line on the whole, then one per node, in order:
//
//   graph small: 2 nodes, 1 tensors
//   w = variable() {shape: [3], value: 1} : float32[3]  # conv backbone forward
//   out = fetch(w) {name: "w"}  # out - forward
//
// Behind "#": layer, part, phase, and "float32" if the origin keeps it.
std::string GraphText(const Graph& graph);

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_GRAPH_TEXT_H_
