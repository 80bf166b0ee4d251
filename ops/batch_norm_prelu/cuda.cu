#include "ops/batch_norm/grouped_cuda.h"
#include "ops/batch_norm_prelu/formulas.h"
#include "ops/kernel.h"

namespace facet::ops {

KernelDef BatchNormPreluCudaKernel() {
  return GroupedCudaKernel<BatchNormPreluFormula>();
}

KernelDef BatchNormPreluGradStatisticsCudaKernel() {
  return GroupedCudaKernel<BatchNormPreluGradStatisticsFormula>();
}

KernelDef BatchNormPreluGradInputCudaKernel() {
  return GroupedCudaKernel<BatchNormPreluGradInputFormula>();
}

}  // namespace facet::ops
