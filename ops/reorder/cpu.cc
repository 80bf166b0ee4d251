#include "ops/kernel.h"
#include "ops/reorder/change_layout.h"

namespace facet::ops {
namespace {

absl::Status Run(const KernelContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& y = context.outputs[0];
  ChangeLayout(x.shape(), x.dtype(), x.slice.layout, x.data, y.slice.layout,
               y.data);
  return absl::OkStatus();
}

}  // namespace

KernelDef ReorderCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(Run);
  };
  return def;
}

}  // namespace facet::ops
