// SmallNetwork: what the tests of the passes work on: every kind of layer that
// a face network has, small enough to run in a moment.
#ifndef FACET_PLACEMENT_PASSES_SMALL_NETWORK_H_
#define FACET_PLACEMENT_PASSES_SMALL_NETWORK_H_

#include <string>
#include <vector>

#include "ops/graph/graph.h"
#include "ops/graph_builder.h"
#include "ops/testing/interpreter.h"

namespace facet::placement {

// conv1 (3 -> 16 channels), bn1, prelu; block: conv2 + shortcut; flatten, fc
// with bias; head (7 classes, not clipped); loss. Tensors are called after
// their layer, variables "conv1.weight" and the like. From fc on, all is kept
// in float32.
struct SmallNetwork {
  ops::Graph graph;
  ops::TensorId images = ops::kNone;  // f32[4, 3, 6, 6], to be set
  ops::TensorId labels = ops::kNone;  // int32[4], to be set
  ops::TensorId loss = ops::kNone;
};
SmallNetwork MakeSmallNetwork();

// Runs a graph that was made from a small network on the CPU, with fixed
// images and labels.
class SmallRun {
 public:
  explicit SmallRun(const ops::Graph& graph);

  void Step();
  // By name of the tensor; of the step before, variables as they are now.
  std::vector<double> Get(const std::string& tensor) const;
  double Scalar(const std::string& tensor) const { return Get(tensor)[0]; }
  void Set(const std::string& tensor, const std::vector<double>& values);

 private:
  ops::Graph graph_;
  ops::Interpreter interpreter_;
};

// A loss of any logits f32[N, C], for small graphs: softmax cross-entropy with
// class 0 everywhere.
ops::TensorId AddLoss(const std::string& name, ops::TensorId logits,
                      ops::GraphBuilder* builder);

// Number of nodes with this op.
int CountOp(const ops::Graph& graph, const std::string& op);
// The node that produces the tensor of this name; for nodes without outputs,
// by the node's name. CHECKs that there is one.
const ops::Node& NodeOf(const ops::Graph& graph, const std::string& name);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_SMALL_NETWORK_H_
