#include <cmath>

#include "ops/kernel.h"
#include "ops/loss_scale/loss_scale.h"

namespace facet::ops {

KernelDef OverflowCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel([](const KernelContext& context) {
      *context.outputs[0].as<float>() =
          std::isfinite(*context.inputs[0].as<float>()) ? 0.0f : 1.0f;
      return absl::OkStatus();
    });
  };
  return def;
}

KernelDef LossScaleUpdateCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float growth_interval =
        static_cast<float>(spec.attributes.Int("growth_interval"));
    return Kernel([growth_interval](const KernelContext& context) {
      UpdateLossScale(*context.inputs[2].as<float>() != 0, growth_interval,
                      context.inputs[0].as<float>(),
                      context.inputs[1].as<float>());
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
