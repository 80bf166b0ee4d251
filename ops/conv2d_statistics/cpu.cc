// CPU kernel of conv2d_statistics: oneDNN has no such pass.
#include "ops/in_sequence.h"
#include "ops/kernel.h"

namespace facet::ops {

// What it joins.
KernelDef Conv2dCpuKernel();
KernelDef BatchNormStatisticsCpuKernel();

KernelDef Conv2dStatisticsCpuKernel() {
  KernelDef def = InSequence(Conv2dCpuKernel(), BatchNormStatisticsCpuKernel(),
                             /*first_inputs=*/2, /*keeps_between=*/true);
  def.rounds_to_inputs = true;  // Sums of what was rounded.
  return def;
}

}  // namespace facet::ops
