#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/kernel.h"
#include "ops/sgd_update/device_sgd.h"
#include "ops/sgd_update/sgd_scalars.h"

namespace facet::ops {
namespace {

// Reads weight, velocity and gradient and writes the first two: 20 bytes and 7
// operations per weight.
__global__ void __launch_bounds__(kBlockThreads)
    SgdKernel(SgdStep step, DeviceSgdScalars scalars, DeviceSpan<float> weight,
              DeviceSpan<float> velocity, DeviceSpan<const float> gradient) {
  if (!SgdOfThisRun(scalars, &step)) return;
  constexpr int kWidth = kVectorWidth<float>;
  const int64_t vectors = weight.size() / kWidth;
  for (int64_t v = GridThread(); v < vectors; v += GridThreads()) {
    const int64_t i = v * kWidth;
    Vector<float, kWidth> w = weight.LoadVector<kWidth>(i);
    Vector<float, kWidth> m = velocity.LoadVector<kWidth>(i);
    const Vector<float, kWidth> g = gradient.LoadVector<kWidth>(i);
    for (int k = 0; k < kWidth; ++k) {
      step(&w.element[k], &m.element[k], g.element[k]);
    }
    weight.StoreVector<kWidth>(i, w);
    velocity.StoreVector<kWidth>(i, m);
  }
  const int64_t i = vectors * kWidth + GridThread();
  if (i >= weight.size()) return;
  float w = weight.Load(i), m = velocity.Load(i);
  step(&w, &m, gradient.Load(i));
  weight.Store(i, w);
  velocity.Store(i, m);
}

}  // namespace

KernelDef SgdUpdateCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([constants = SgdConstants(spec.attributes)](
                      const KernelContext& context) -> absl::Status {
      const DeviceSpan<float> weight(context.inputs[0]);
      if (weight.size() == 0) return absl::OkStatus();
      return Launch(SgdKernel, {dim3(context.cuda->BlocksFor(weight.size()))},
                    context.cuda->stream(), constants, SgdScalarsOf(context, 3),
                    weight, DeviceSpan<float>(context.inputs[1]),
                    DeviceSpan<const float>(context.inputs[2]));
    });
  };
  return def;
}

}  // namespace facet::ops
