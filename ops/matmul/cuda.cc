// matmul by cuBLAS: must compute 2 M N K FLOP and move a, b and y once. Which
// of the two it is bound by depends on the shapes; which kernel is best for
// them, and whether K is split, cuBLAS knows.
#include "glog/logging.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/gemm.h"
#include "ops/fill/device_fill.h"
#include "ops/kernel.h"
#include "ops/may_round_attribute.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

GemmOperand Operand(const TensorSlice& slice, bool transposed) {
  CHECK_EQ(slice.shape.rank(), 2);
  return {nullptr, slice.dtype, slice.shape[1], transposed};
}

absl::StatusOr<Kernel> Create(const KernelSpec& spec) {
  const TensorSlice& y = spec.outputs[0];
  GemmCall call;
  call.a = Operand(spec.inputs[0], spec.attributes.Bool("transpose_a"));
  call.b = Operand(spec.inputs[1], spec.attributes.Bool("transpose_b"));
  call.c = {nullptr, y.dtype, y.shape[1]};
  call.m = y.shape[0];
  call.n = y.shape[1];
  call.may_round = spec.attributes.Bool(kMayRound);
  call.k = spec.inputs[0].shape[call.a.transposed ? 0 : 1];
  if (call.k == 0) {
    // Sums of nothing, which cuBLAS leaves to the caller.
    return Kernel([](const KernelContext& context) {
      return FillConstant(*context.cuda, context.outputs[0], 0);
    });
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
  def.workspace_bytes = [](const KernelSpec& spec) {
    const Shape& y = spec.outputs[0].shape;
    return GemmWorkspaceBytes(y[0], y[1]);
  };
  def.create = Create;
  return def;
}

}  // namespace facet::ops
