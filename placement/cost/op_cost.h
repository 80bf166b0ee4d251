// OpSeconds: how long one device takes for its share of a node, by a roofline
// (Williams et al., 2009): the slower of arithmetic (FLOP by FLOP per second)
// and memory traffic (bytes by bytes per second), plus a fixed launch cost. The
// rates are the device's, times the operator's factors (DeviceSpec::op_rates).
#ifndef FACET_PLACEMENT_COST_OP_COST_H_
#define FACET_PLACEMENT_COST_OP_COST_H_

#include "ops/graph/mesh.h"
#include "ops/nd_signature.h"
#include "ops/op_def.h"
#include "placement/cluster.h"

namespace facet::placement {

// Of the largest share (device 0's) of a call with these global types under
// `signature`, on a mesh of devices like `device`. Arithmetic runs at the
// half-precision rate if an input is in half precision.
double OpSeconds(const ops::OpDef& def, const ops::OpCall& global,
                 const ops::NdSignature& signature, const ops::Mesh& mesh,
                 const DeviceSpec& device);

// Of a call whose types are local already.
double LocalOpSeconds(const ops::OpDef& def, const ops::OpCall& local,
                      const DeviceSpec& device);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_COST_OP_COST_H_
