// GraphBuilder: the one way to add nodes to a Graph. Models, gradients and
// passes all use it; it looks the op up, checks and completes the attributes,
// infers the output types and makes the names unique.
#ifndef FACET_OPS_GRAPH_BUILDER_H_
#define FACET_OPS_GRAPH_BUILDER_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ops/graph/graph.h"
#include "ops/op_def.h"

namespace facet::ops {

// Not thread-safe. Errors are sticky where Add1 is used: see status().
class GraphBuilder {
 public:
  // `graph` must outlive the builder; it may already have nodes.
  GraphBuilder(Graph* graph, OpLookup lookup);
  GraphBuilder(const GraphBuilder&) = delete;
  GraphBuilder& operator=(const GraphBuilder&) = delete;

  // Adds a node and returns its outputs. `name` is a wish: a name that is
  // taken gets "_2", "_3" ... appended. InvalidArgument for an unknown op, a
  // missing, unknown or ill-typed attribute, a wrong number of inputs or types
  // the op refuses; the message begins with `name`. Nothing is added then.
  absl::StatusOr<std::vector<TensorId>> Add(absl::string_view op,
                                            absl::string_view name,
                                            absl::Span<const TensorId> inputs,
                                            Attributes attributes = {});

  // Adds a node like one of another graph, on these inputs: with its origin,
  // and its outputs under the names that people know them by, which are not
  // always the node's (FusionContext::Redirect).
  absl::StatusOr<std::vector<TensorId>> AddCopy(
      const Graph& graph, const Node& node, absl::Span<const TensorId> inputs);

  // Add for model code: returns the first output (kNone for an op without
  // outputs). After an error nothing more is added, kNone comes back, and
  // status() has the first error.
  TensorId Add1(absl::string_view op, absl::string_view name,
                absl::Span<const TensorId> inputs, Attributes attributes = {});
  const absl::Status& status() const { return status_; }

  // The origin that new nodes get (its layer: if empty, the node's name).
  void set_origin(Origin origin) { origin_ = std::move(origin); }
  const Origin& origin() const { return origin_; }

  const TensorType& type(TensorId tensor) const;
  const OpDef& def(NodeId node) const;
  const Graph& graph() const { return *graph_; }
  Graph* mutable_graph() { return graph_; }
  OpLookup lookup() const { return lookup_; }

 private:
  std::string UniqueName(absl::string_view wish);

  Graph* graph_;
  OpLookup lookup_;
  Origin origin_;
  absl::Status status_;
  absl::flat_hash_map<std::string, int> names_;  // Taken; next suffix.
};

// The types of a node's operands, the way OpDef's functions want them. Keep it
// alive as long as the call() it gives.
class NodeCall {
 public:
  NodeCall(const Graph& graph, NodeId node);
  OpCall call() const { return {*attributes_, inputs_, outputs_}; }

 private:
  const Attributes* attributes_;
  std::vector<TensorType> inputs_;
  std::vector<TensorType> outputs_;
};

// Checks the whole graph: dense ids, topological order, unique names, known
// ops, inferred types equal to the stored ones, mutated inputs are variables
// and have one mutator each. Internal error with the node's name otherwise.
absl::Status VerifyGraph(const Graph& graph, OpLookup lookup);

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_BUILDER_H_
