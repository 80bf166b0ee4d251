// CPU kernel of conv2d_statistics: oneDNN has no such pass.
#include "ops/conv2d_statistics/in_sequence.h"
#include "ops/kernel.h"

namespace facet::ops {

// What it joins.
KernelDef Conv2dCpuKernel();
KernelDef BatchNormStatisticsCpuKernel();

KernelDef Conv2dStatisticsCpuKernel() {
  return InSequence(Conv2dCpuKernel(), BatchNormStatisticsCpuKernel());
}

}  // namespace facet::ops
