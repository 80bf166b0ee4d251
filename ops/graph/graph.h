// Graph: the logical program, as if for one big device: nodes (applications of
// ops) and the tensors between them. A plain value with dense ids and no
// knowledge of devices or of what ops mean. To build one: graph_builder.h. To
// print one: graph_text.h.
#ifndef FACET_OPS_GRAPH_GRAPH_H_
#define FACET_OPS_GRAPH_GRAPH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ops/graph/attributes.h"
#include "ops/graph/data_type.h"
#include "ops/graph/shape.h"

namespace facet::ops {

using TensorId = int32_t;  // Index into Graph::tensors.
using NodeId = int32_t;    // Index into Graph::nodes.
inline constexpr int32_t kNone = -1;

struct TensorType {
  DataType dtype = DataType::kFloat32;
  Shape shape;  // The logical (global) shape.

  int64_t size_bytes() const {
    return shape.num_elements() * SizeInBytes(dtype);
  }
  std::string ToString() const;  // "float32[32, 512]"
  friend bool operator==(const TensorType& a, const TensorType& b) {
    return a.dtype == b.dtype && a.shape == b.shape;
  }
  friend bool operator!=(const TensorType& a, const TensorType& b) {
    return !(a == b);
  }
};

// When in a step a node works; what the timing report adds up by.
enum class Phase : uint8_t { kData, kForward, kBackward, kOptimizer };
absl::string_view PhaseName(Phase phase);  // "data", "forward", ...

// Where a node comes from and how it wants to be treated. New nodes of a pass
// inherit it from the node they were made for.
struct Origin {
  std::string layer;  // Name as in the model: "layer1.0.conv1".
  std::string part;   // Part of the model: "data", "backbone", "head".
  Phase phase = Phase::kForward;
  // The precision pass leaves this node (and its gradient) in float32.
  bool keep_float32 = false;
  // It works in every so-manieth step only: in those that end a round
  // (every.h).
  int every = 1;
  // It is there a second time, for the backward pass, to save memory: it should
  // run no sooner than it must.
  bool again = false;
};

struct Node {
  std::string name;  // Unique in the graph.
  std::string op;    // Name of its OpDef.
  Attributes attributes;
  std::vector<TensorId> inputs;
  std::vector<TensorId> outputs;
  Origin origin;
};

struct Tensor {
  std::string name;  // Unique: the node's name, ":1" ... for further outputs.
  TensorType type;
  NodeId producer = kNone;
  int output_index = 0;  // Which output of the producer.
};

// Nodes are in a topological order: a node's inputs are produced by nodes
// before it. (What an op mutates is an input: the value it had at the
// beginning of the step is what everybody else reads; placement orders the
// mutation after all other readers.)
struct Graph {
  std::string name;
  std::vector<Node> nodes;
  std::vector<Tensor> tensors;
};

// By tensor: the nodes that read it, in node order, once per node.
std::vector<std::vector<NodeId>> ComputeConsumers(const Graph& graph);

// By tensor: in every how many steps somebody works for it or with it: as its
// producer, or the reader that works most often.
std::vector<int> ComputeEvery(const Graph& graph);

// The id of a tensor by name, kNone if there is none. Linear.
TensorId FindTensor(const Graph& graph, absl::string_view name);

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_GRAPH_H_
