// Autodiff: appends the backward pass to a graph, from the gradient rules of
// its ops.
#ifndef FACET_PLACEMENT_PASSES_AUTODIFF_H_
#define FACET_PLACEMENT_PASSES_AUTODIFF_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/op_def.h"

namespace facet::placement {

// Of a variable whose gradient is 0 but in some rows: its gradient below is of
// these alone (ops::GradientContext::RowGradient).
struct VariableRows {
  ops::TensorId rows = ops::kNone;
  ops::NodeId reader = ops::kNone;  // The one node that reads the variable.
  std::string lazy_op;              // What it becomes if updates are lazy.
};

struct DifferentiatedGraph {
  ops::Graph graph;
  // (variable, gradient of the loss by it), in graph order of the variables;
  // only variables with the attribute trainable that the loss depends on.
  std::vector<std::pair<ops::TensorId, ops::TensorId>> gradients;
  std::map<ops::TensorId, VariableRows> rows;  // By variable.
  // The float32 scalar that the gradients are multiplied by; kNone: by 1.
  ops::TensorId loss_scale = ops::kNone;
};

// `loss` is a float32 scalar. Where a tensor has several readers their
// gradients are added in the order of the graph. With `loss_scale_initial` >
// 0, a variable "loss_scale" of that value seeds the backward pass.
absl::StatusOr<DifferentiatedGraph> Autodiff(ops::Graph graph,
                                             ops::TensorId loss,
                                             double loss_scale_initial,
                                             ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_AUTODIFF_H_
