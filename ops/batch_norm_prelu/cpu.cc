#include "ops/batch_norm/grouped_cpu.h"
#include "ops/batch_norm_prelu/formulas.h"
#include "ops/kernel.h"

namespace facet::ops {

KernelDef BatchNormPreluCpuKernel() {
  return GroupedCpuKernel<BatchNormPreluFormula>();
}

KernelDef BatchNormPreluGradStatisticsCpuKernel() {
  return GroupedCpuKernel<BatchNormPreluGradStatisticsFormula>();
}

KernelDef BatchNormPreluGradInputCpuKernel() {
  return GroupedCpuKernel<BatchNormPreluGradInputFormula>();
}

}  // namespace facet::ops
