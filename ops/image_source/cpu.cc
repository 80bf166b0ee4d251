#include "ops/image_source/read_images.h"
#include "ops/kernel.h"

namespace facet::ops {

KernelDef ImageSourceCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel([](const KernelContext& context) {
      return ReadImages(context, context.outputs[0].as<float>(),
                        context.outputs[1].as<int32_t>());
    });
  };
  return def;
}

}  // namespace facet::ops
