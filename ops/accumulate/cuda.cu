// Roofline: accumulate_gradient reads both and writes one, 12 bytes per
// element (8 in the first of the steps, none in the last); mean_gradient 12.
#include "ops/accumulate/sum_of_steps.h"
#include "ops/cuda/map.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

struct Same {
  FACET_HOST_DEVICE float operator()(float x) const { return x; }
};

}  // namespace

KernelDef AccumulateGradientCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([count = spec.attributes.Int("steps")](
                      const KernelContext& context) -> absl::Status {
      const DeviceSpan<float> sum(context.inputs[0]);
      const DeviceSpan<const float> gradient(context.inputs[1]);
      if (StartsSum(context.step, count)) {
        return Map(*context.cuda, Same(), sum, gradient);
      }
      if (EndsSum(context.step, count)) return absl::OkStatus();
      return Map(*context.cuda, SumOf(), sum,
                 DeviceSpan<const float>(context.inputs[0]), gradient);
    });
  };
  return def;
}

KernelDef MeanGradientCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float count = static_cast<float>(spec.attributes.Int("steps"));
    return Kernel([mean = MeanOf{1 / count}](const KernelContext& context) {
      return Map(*context.cuda, mean, DeviceSpan<float>(context.outputs[0]),
                 DeviceSpan<const float>(context.inputs[0]),
                 DeviceSpan<const float>(context.inputs[1]));
    });
  };
  return def;
}

}  // namespace facet::ops
