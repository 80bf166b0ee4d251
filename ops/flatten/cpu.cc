#include "ops/kernel.h"
#include "ops/reorder/change_layout.h"

namespace facet::ops {
namespace {

// Of row-major tensors both are the identity, and nothing at all in place.

absl::Status Flatten(const KernelContext& context) {
  const TensorView& x = context.inputs[0];
  ChangeLayout(x.shape(), x.dtype(), x.slice.layout, x.data, Layout::kRowMajor,
               context.outputs[0].data);
  return absl::OkStatus();
}

absl::Status Unflatten(const KernelContext& context) {
  const TensorView& y = context.outputs[0];
  ChangeLayout(y.shape(), y.dtype(), Layout::kRowMajor, context.inputs[0].data,
               y.slice.layout, y.data);
  return absl::OkStatus();
}

}  // namespace

KernelDef FlattenCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(Flatten);
  };
  return def;
}

KernelDef UnflattenCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(Unflatten);
  };
  return def;
}

}  // namespace facet::ops
