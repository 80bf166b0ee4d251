#include "ops/fill/device_fill.h"
#include "ops/kernel.h"
#include "ops/learning_rate/schedule.h"

namespace facet::ops {

// The host knows the step: it computes the rate, the device stores it.
KernelDef LearningRateCudaKernel() {
  KernelDef def;
  def.depends_on_step = AlwaysDependsOnStep;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([schedule = ScheduleFromAttributes(spec.attributes)](
                      const KernelContext& context) {
      return FillConstant(*context.cuda, context.outputs[0],
                          schedule.At(context.step));
    });
  };
  return def;
}

}  // namespace facet::ops
