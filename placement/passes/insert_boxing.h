// InsertBoxing: makes every step of a change of SBP between a tensor's producer
// and its readers a node of its own ("boxing", shared by readers that want the
// same; "<tensor>/to_<SBP>"). A step changes the SBP along one axis of the
// mesh. What is gathered again is boxed a second time for readers in the
// backward pass ("<tensor>/to_<SBP>/again").
#ifndef FACET_PLACEMENT_PASSES_INSERT_BOXING_H_
#define FACET_PLACEMENT_PASSES_INSERT_BOXING_H_

#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/graph/layout.h"
#include "ops/graph/nd_sbp.h"
#include "ops/op_def.h"
#include "placement/passes/assign_sbp.h"

namespace facet::placement {

// A graph of which every tensor has its place: producer and readers agree.
struct PlacedGraph {
  ops::Graph graph;
  std::vector<ops::NdSbp> sbp;  // By tensor.
};

// Same graph plus its boxing nodes; the signatures' inputs and outputs hold.
absl::StatusOr<PlacedGraph> InsertBoxing(const ops::Graph& graph,
                                         const SbpAssignment& assignment,
                                         ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_INSERT_BOXING_H_
