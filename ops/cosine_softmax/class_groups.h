// The kernels of cosine_softmax, of any kind of device: for one group of
// classes after the other they run those of the ops that are fused, on the
// group's rows of w and on cosines [N, group] in the workspace.
//
// Bytes to and from memory beside the operands: a group's cosines four times
// (made, used by each statistic or turned into gradients, used by the product)
// unless they stay in a cache, and w as often as there are products.
#ifndef FACET_OPS_COSINE_SOFTMAX_CLASS_GROUPS_H_
#define FACET_OPS_COSINE_SOFTMAX_CLASS_GROUPS_H_

#include <cstdint>

#include "ops/kernel.h"

namespace facet::ops {

// Of one kind of device.
struct HeadKernels {
  KernelDef add;
  KernelDef fill;
  KernelDef cosine_linear;
  KernelDef cosine_linear_grad_input;
  KernelDef cosine_linear_sgd;
  KernelDef margin_softmax_sum;
  KernelDef margin_softmax_loss;
  KernelDef margin_softmax_grad;
  // Of a group's cosines, about.
  int64_t group_bytes = 0;
};

KernelDef GroupedCosineSoftmaxSum(HeadKernels kernels);
KernelDef GroupedCosineSoftmaxGradInput(HeadKernels kernels);
KernelDef GroupedCosineSoftmaxSgd(HeadKernels kernels);

}  // namespace facet::ops

#endif  // FACET_OPS_COSINE_SOFTMAX_CLASS_GROUPS_H_
