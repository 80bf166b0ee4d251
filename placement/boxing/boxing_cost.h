// What a transition between SBPs costs.
#ifndef FACET_PLACEMENT_BOXING_BOXING_COST_H_
#define FACET_PLACEMENT_BOXING_BOXING_COST_H_

#include "ops/graph/graph.h"
#include "ops/graph/sbp.h"
#include "placement/cluster.h"

namespace facet::placement {

// Seconds by the alpha-beta model, for the program that LowerBoxing makes of
// it; infinity where the transition does not exist. Between the devices of one
// mesh axis.
double BoxingSeconds(const ops::TensorType& type, ops::Sbp from, ops::Sbp to,
                     const Cluster& cluster, int axis);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_BOXING_BOXING_COST_H_
