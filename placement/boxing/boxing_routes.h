// BoxingRoutes: how a tensor gets from one SBP to another on a mesh: by steps
// that change the SBP along one axis each, on the groups of devices along that
// axis. The cheapest sequence of steps (Dijkstra, 1959); so a sum over all
// devices becomes, where the outer axis is slow, a reduce-scatter within the
// inner axis, an all-reduce of the shares along the outer one, an all-gather.
//
// A step may change axis a only if its devices hold the same boxes before and
// after, but for that axis: no axis behind a splits a dimension that a splits
// before or after. And what is the sum of maxima must be reduced from the
// inside out: no axis behind a is partial of another kind than a is before or
// after.
#ifndef FACET_PLACEMENT_BOXING_BOXING_ROUTES_H_
#define FACET_PLACEMENT_BOXING_BOXING_ROUTES_H_

#include <map>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/graph/mesh.h"
#include "ops/graph/nd_sbp.h"
#include "placement/boxing/boxing.h"
#include "placement/cluster.h"

namespace facet::placement {

// Of tensors of one type. Not thread-safe: what was found is kept.
class BoxingRoutes {
 public:
  // `compute_waits`: a collective costs its axis's blocking_seconds too.
  // The cluster must outlive this.
  BoxingRoutes(const ops::TensorType& type, const Cluster& cluster,
               bool compute_waits);

  // Seconds by the alpha-beta model; infinity if there is no way (a split that
  // leaves a device empty, P(sum) that shall become P(max)).
  double Seconds(const ops::NdSbp& from, const ops::NdSbp& to);

  // The SBPs on the way, one after each step: the last is `to`. There must be a
  // way. What differs along one axis alone is one step, if it may be.
  std::vector<ops::NdSbp> Route(const ops::NdSbp& from, const ops::NdSbp& to);

 private:
  struct Step {
    int to;  // State.
    double seconds;
  };
  struct Arrival {
    double seconds;
    int previous;  // State.
  };

  int StateOf(const ops::NdSbp& sbp) const;  // kNone: no such share.
  double StepSeconds(const ops::NdSbp& from, int axis, ops::Sbp to) const;
  void FindSteps();
  const std::vector<Arrival>& From(int source);

  const ops::TensorType type_;
  const Cluster& cluster_;
  const ops::Mesh mesh_;
  const bool compute_waits_;
  std::vector<ops::NdSbp> states_;              // Ascending.
  std::vector<std::vector<Step>> steps_;        // By state.
  std::vector<std::vector<Arrival>> arrivals_;  // By source; empty: not yet.
};

// True if the one axis in which they differ may be changed in one step.
// `shape` is that of the whole tensor.
bool IsBoxingStep(const ops::Shape& shape, const ops::NdSbp& from,
                  const ops::NdSbp& to, const ops::Mesh& mesh);

// The axis in which they differ; kNone if it is not exactly one.
int ChangedAxis(const ops::NdSbp& from, const ops::NdSbp& to);

// The programs of a step, one per group of devices along the changed axis, in
// the order of Mesh::GroupsAlong. Regions are of the whole tensor.
// InvalidArgument if it is not a step.
absl::StatusOr<std::vector<BoxingProgram>> LowerBoxingStep(
    const ops::TensorType& type, const ops::NdSbp& from, const ops::NdSbp& to,
    const ops::Mesh& mesh);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_BOXING_BOXING_ROUTES_H_
