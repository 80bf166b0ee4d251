// One thread: the scale, and whether the step counts, never leave the device.
#include <cmath>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/kernel.h"
#include "ops/loss_scale/loss_scale.h"

namespace facet::ops {
namespace {

__global__ void OverflowKernel(DeviceSpan<const float> square_norm,
                               DeviceSpan<float> skip) {
  skip.Store(0, std::isfinite(square_norm.Load(0)) ? 0.0f : 1.0f);
}

__global__ void UpdateKernel(DeviceSpan<float> scale,
                             DeviceSpan<float> good_steps,
                             DeviceSpan<const float> skip,
                             float growth_interval) {
  float new_scale = scale.Load(0), new_good_steps = good_steps.Load(0);
  UpdateLossScale(skip.Load(0) != 0, growth_interval, &new_scale,
                  &new_good_steps);
  scale.Store(0, new_scale);
  good_steps.Store(0, new_good_steps);
}

LaunchShape OneThread() { return {dim3(1), dim3(1)}; }

}  // namespace

KernelDef OverflowCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel([](const KernelContext& context) {
      return Launch(OverflowKernel, OneThread(), context.cuda->stream(),
                    DeviceSpan<const float>(context.inputs[0]),
                    DeviceSpan<float>(context.outputs[0]));
    });
  };
  return def;
}

KernelDef LossScaleUpdateCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float growth_interval =
        static_cast<float>(spec.attributes.Int("growth_interval"));
    return Kernel([growth_interval](const KernelContext& context) {
      return Launch(UpdateKernel, OneThread(), context.cuda->stream(),
                    DeviceSpan<float>(context.inputs[0]),
                    DeviceSpan<float>(context.inputs[1]),
                    DeviceSpan<const float>(context.inputs[2]),
                    growth_interval);
    });
  };
  return def;
}

}  // namespace facet::ops
