// For fuse rules that drop a gradient.
#ifndef FACET_OPS_LOSS_SCALE_ONLY_FINDS_OVERFLOW_H_
#define FACET_OPS_LOSS_SCALE_ONLY_FINDS_OVERFLOW_H_

#include "ops/fusion.h"

namespace facet::ops {

// True if all that becomes of the value (a norm), added to others or not, is
// whether it is finite.
inline bool OnlyFindsOverflow(const FusionContext& context, TensorId value) {
  for (NodeId reader : context.Consumers(value)) {
    const Node& n = context.graph().nodes[reader];
    if (n.op == "overflow") continue;
    if ((n.op == "add" || n.op == "add_n") &&
        OnlyFindsOverflow(context, n.outputs[0])) {
      continue;
    }
    return false;
  }
  return true;
}

}  // namespace facet::ops

#endif  // FACET_OPS_LOSS_SCALE_ONLY_FINDS_OVERFLOW_H_
