#include "ops/kernel.h"
#include "ops/learning_rate/schedule.h"

namespace facet::ops {

KernelDef LearningRateCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    LearningRateSchedule schedule;
    schedule.base = spec.attributes.Float("base");
    schedule.warmup_steps = spec.attributes.Int("warmup_steps");
    schedule.total_steps = spec.attributes.Int("total_steps");
    schedule.first_step_full =
        spec.attributes.String("warmup_style") == "as_arcface_torch";
    schedule.power = spec.attributes.Float("power");
    return Kernel([schedule](const KernelContext& context) {
      *context.outputs[0].as<float>() =
          static_cast<float>(schedule.At(context.step));
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
