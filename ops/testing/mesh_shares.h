// TakeShare and JoinShares (interpreter.h) on a mesh of several axes.
#ifndef FACET_OPS_TESTING_MESH_SHARES_H_
#define FACET_OPS_TESTING_MESH_SHARES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/mesh.h"
#include "ops/graph/nd_sbp.h"
#include "ops/testing/interpreter.h"

namespace facet::ops {

// What the device holds of a whole value: the share along the outermost axis,
// of that the share along the next, and so on.
HostValue TakeMeshShare(const HostValue& whole, const NdSbp& sbp,
                        const Mesh& mesh, int device);

// The inverse, from the shares of all devices: joined along the innermost axis
// first. InvalidArgument names two copies that differ.
absl::StatusOr<HostValue> JoinMeshShares(std::vector<HostValue> shares,
                                         const NdSbp& sbp, const Mesh& mesh);

}  // namespace facet::ops

#endif  // FACET_OPS_TESTING_MESH_SHARES_H_
