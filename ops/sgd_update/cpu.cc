#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/sgd_update/sgd_scalars.h"

namespace facet::ops {

KernelDef SgdUpdateCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([constants = SgdConstants(spec.attributes)](
                      const KernelContext& context) {
      const std::optional<SgdStep> step = SgdOfThisRun(constants, context, 3);
      if (!step.has_value()) return absl::OkStatus();
      float* weights = context.inputs[0].as<float>();
      float* velocities = context.inputs[1].as<float>();
      const float* gradients = context.inputs[2].as<float>();
      ParallelForElements(context.inputs[0].slice.num_elements(),
                          [&](auto v, int64_t i) {
                            using V = decltype(v);
                            V weight = Load<V>(weights + i);
                            V velocity = Load<V>(velocities + i);
                            (*step)(&weight, &velocity, Load<V>(gradients + i));
                            Store<V>(weights + i, weight);
                            Store<V>(velocities + i, velocity);
                          });
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
