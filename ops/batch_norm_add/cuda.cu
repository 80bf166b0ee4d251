#include "ops/batch_norm/grouped_cuda.h"
#include "ops/batch_norm_add/formulas.h"
#include "ops/kernel.h"

namespace facet::ops {

KernelDef BatchNormAddCudaKernel() {
  return GroupedCudaKernel<BatchNormAddFormula>();
}

KernelDef BatchNormGradInputAddCudaKernel() {
  return GroupedCudaKernel<BatchNormGradInputAddFormula>();
}

}  // namespace facet::ops
