// matmul by cuBLAS or cuBLASLt: must compute 2 M N K FLOP and move a, b and y
// once. Which of the two it is bound by depends on the shapes; which kernel is
// best for them, and whether K is split, the libraries know, or it is measured.
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/gemm.h"
#include "ops/fill/device_fill.h"
#include "ops/kernel.h"
#include "ops/matmul/algorithm.h"
#include "ops/matmul/device_product.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::StatusOr<Kernel> Create(const KernelSpec& spec) {
  const GemmCall call = ProductOf(spec);
  if (IsEmpty(call)) {
    // Sums of nothing, if anything, which cuBLAS leaves to the caller.
    return Kernel([](const KernelContext& context) {
      return FillConstant(*context.cuda, context.outputs[0], 0);
    });
  }
  const std::string& algorithm = spec.attributes.String("algorithm");
  if (const auto number = CublasLtNumber(algorithm)) {
    return CreateLtProduct(spec, /*has_bias=*/false, *number);
  }
  ASSIGN_OR_RETURN(cublasContext* const cublas, spec.cuda->cublas());
  return Kernel([call, cublas](const KernelContext& context) {
    GemmCall product = call;
    product.a.data = context.inputs[0].data;
    product.b.data = context.inputs[1].data;
    product.c.data = context.outputs[0].data;
    return Gemm(cublas, product, context.workspace);
  });
}

}  // namespace

KernelDef MatmulCudaKernel() {
  KernelDef def;
  def.alternatives = [](const KernelSpec& spec) {
    return ProductAlternatives(spec, "cublas");
  };
  def.workspace_bytes = [](const KernelSpec& spec) {
    const Shape& y = spec.outputs[0].shape;
    return GemmWorkspaceBytes(y[0], y[1]);
  };
  def.create = Create;
  return def;
}

}  // namespace facet::ops
