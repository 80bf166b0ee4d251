// Roofline: accumulate_gradient reads both and writes one, 12 bytes per
// element (8 in the first of the steps, none in the last); mean_gradient 12.
#include "ops/accumulate/sum_of_steps.h"
#include "ops/cuda/convert.h"
#include "ops/cuda/map.h"
#include "ops/graph/every.h"
#include "ops/kernel.h"

namespace facet::ops {
KernelDef AccumulateGradientCudaKernel() {
  KernelDef def;
  def.depends_on_step = AlwaysDependsOnStep;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([steps = spec.attributes.Int("steps")](
                      const KernelContext& context) -> absl::Status {
      const DeviceSpan<float> sum(context.inputs[0]);
      const DeviceSpan<const float> gradient(context.inputs[1]);
      if (StartsRound(steps, context.step)) {
        return Convert(*context.cuda, context.inputs[1], context.inputs[0]);
      }
      if (EndsRound(steps, context.step)) return absl::OkStatus();
      return Map(*context.cuda, SumOf(), sum,
                 DeviceSpan<const float>(context.inputs[0]), gradient);
    });
  };
  return def;
}

KernelDef MeanGradientCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float steps = static_cast<float>(spec.attributes.Int("steps"));
    return Kernel([mean = MeanOf{1 / steps}](const KernelContext& context) {
      return Map(*context.cuda, mean, DeviceSpan<float>(context.outputs[0]),
                 DeviceSpan<const float>(context.inputs[0]),
                 DeviceSpan<const float>(context.inputs[1]));
    });
  };
  return def;
}

}  // namespace facet::ops
