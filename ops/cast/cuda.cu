#include "glog/logging.h"
#include "ops/cuda/convert.h"
#include "ops/kernel.h"

namespace facet::ops {

KernelDef CastCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    CHECK(spec.inputs[0].layout == spec.outputs[0].layout) << "layouts differ";
    return Kernel([](const KernelContext& context) {
      return Convert(*context.cuda, context.inputs[0], context.outputs[0]);
    });
  };
  return def;
}

}  // namespace facet::ops
