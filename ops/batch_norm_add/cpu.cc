#include "ops/batch_norm/grouped_cpu.h"
#include "ops/batch_norm_add/formulas.h"
#include "ops/kernel.h"

namespace facet::ops {

KernelDef BatchNormAddCpuKernel() {
  return GroupedCpuKernel<BatchNormAddFormula>();
}

KernelDef BatchNormGradInputAddCpuKernel() {
  return GroupedCpuKernel<BatchNormGradInputAddFormula>();
}

}  // namespace facet::ops
