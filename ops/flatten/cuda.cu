#include "ops/kernel.h"
#include "ops/reorder/device_change_layout.h"

namespace facet::ops {
namespace {

// Of row-major tensors both are the identity, and nothing at all in place.

absl::Status Flatten(const KernelContext& context) {
  const TensorView& x = context.inputs[0];
  return ChangeLayout(*context.cuda, x.shape(), x.slice.layout, x,
                      Layout::kRowMajor, context.outputs[0]);
}

absl::Status Unflatten(const KernelContext& context) {
  const TensorView& y = context.outputs[0];
  return ChangeLayout(*context.cuda, y.shape(), Layout::kRowMajor,
                      context.inputs[0], y.slice.layout, y);
}

}  // namespace

KernelDef FlattenCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(Flatten);
  };
  return def;
}

KernelDef UnflattenCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(Unflatten);
  };
  return def;
}

}  // namespace facet::ops
