// CPU kernel of matmul_bias: products are long, and adding is short.
#include "ops/in_sequence.h"
#include "ops/kernel.h"

namespace facet::ops {

// What it joins.
KernelDef MatmulCpuKernel();
KernelDef BiasAddCpuKernel();

KernelDef MatmulBiasCpuKernel() {
  return InSequence(MatmulCpuKernel(), BiasAddCpuKernel(), /*first_inputs=*/2,
                    /*keeps_between=*/false);
}

}  // namespace facet::ops
