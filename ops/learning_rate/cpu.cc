#include "ops/kernel.h"
#include "ops/learning_rate/schedule.h"

namespace facet::ops {

KernelDef LearningRateCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([schedule = ScheduleFromAttributes(spec.attributes)](
                      const KernelContext& context) {
      *context.outputs[0].as<float>() =
          static_cast<float>(schedule.At(context.step));
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
