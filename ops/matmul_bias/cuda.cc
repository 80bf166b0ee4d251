// CUDA kernels of matmul_bias. "cublaslt:N": one of cuBLASLt's algorithms,
// which adds the bias before it writes y, once. "auto" and "cublas": cuBLAS's
// product, to which the bias is added.
#include <string>

#include "ops/in_sequence.h"
#include "ops/kernel.h"
#include "ops/matmul/algorithm.h"
#include "ops/matmul/device_product.h"

namespace facet::ops {

// What it joins.
KernelDef MatmulCudaKernel();
KernelDef BiasAddCudaKernel();

KernelDef MatmulBiasCudaKernel() {
  const KernelDef separate =
      InSequence(MatmulCudaKernel(), BiasAddCudaKernel(), /*first_inputs=*/2,
                 /*keeps_between=*/false);
  KernelDef def = separate;
  def.alternatives = [](const KernelSpec& spec) {
    return ProductAlternatives(spec, "auto");
  };
  def.create = [separate](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const auto number = CublasLtNumber(spec.attributes.String("algorithm"));
    if (!number.has_value() || IsEmpty(ProductOf(spec))) {
      return separate.create(spec);
    }
    return CreateLtProduct(spec, /*has_bias=*/true, *number);
  };
  return def;
}

}  // namespace facet::ops
