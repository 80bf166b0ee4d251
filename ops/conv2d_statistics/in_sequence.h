// The two kernels that make up conv2d_statistics, one after the other: what any
// device can do.
#ifndef FACET_OPS_CONV2D_STATISTICS_IN_SEQUENCE_H_
#define FACET_OPS_CONV2D_STATISTICS_IN_SEQUENCE_H_

#include "ops/kernel.h"

namespace facet::ops {

// `convolution` is of conv2d, `statistics` of batch_norm_statistics. They share
// the workspace.
KernelDef InSequence(KernelDef convolution, KernelDef statistics);

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_STATISTICS_IN_SEQUENCE_H_
