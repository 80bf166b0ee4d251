#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/slice_index.h"
#include "ops/kernel.h"
#include "ops/random.h"
#include "ops/sgd_update/device_sgd.h"
#include "ops/sgd_update/device_state.h"
#include "ops/sgd_update/rounding_stream.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/stochastic_rounding.h"

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

// With a weight or a momentum of 16 bits: 2 bytes less to read and to write for
// each, and a random word per element.
template <typename W, typename M>
__global__ void __launch_bounds__(kBlockThreads)
    RoundedSgdKernel(SgdStep step, DeviceSgdScalars scalars,
                     RandomStream rounding, SliceIndex index,
                     DeviceSpan<W> weight, DeviceSpan<M> velocity,
                     DeviceSpan<const float> gradient) {
  if (!SgdOfThisRun(scalars, &step)) return;
  for (int64_t i = GridThread(); i < weight.size(); i += GridThreads()) {
    float w = weight.LoadFloat(i), m = velocity.LoadFloat(i);
    step(&w, &m, gradient.Load(i));
    const uint32_t word = RoundingWord(rounding, index.Global(i));
    weight.Store(i, RoundedTo<W>(w, RandomOfWeight(word)));
    velocity.Store(i, RoundedTo<M>(m, RandomOfMomentum(word)));
  }
}

template <typename W, typename M>
absl::Status UpdateRounded(const KernelContext& context, const SgdStep& step,
                           int64_t key) {
  const TensorView& weight = context.inputs[0];
  return Launch(RoundedSgdKernel<W, M>,
                {dim3(context.cuda->BlocksFor(weight.slice.num_elements()))},
                context.cuda->stream(), step, SgdScalarsOf(context, 3),
                RoundingStream(context, key), SliceIndex(weight.slice),
                DeviceSpan<W>(weight), DeviceSpan<M>(context.inputs[1]),
                DeviceSpan<const float>(context.inputs[2]));
}

absl::Status Update(const KernelContext& context, const SgdStep& step) {
  const DeviceSpan<float> weight(context.inputs[0]);
  return Launch(SgdKernel, {dim3(context.cuda->BlocksFor(weight.size()))},
                context.cuda->stream(), step, SgdScalarsOf(context, 3), weight,
                DeviceSpan<float>(context.inputs[1]),
                DeviceSpan<const float>(context.inputs[2]));
}

}  // namespace

KernelDef SgdUpdateCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([step = SgdConstants(spec.attributes),
                   key = spec.attributes.Int("key")](
                      const KernelContext& context) -> absl::Status {
      if (context.inputs[0].slice.num_elements() == 0) return absl::OkStatus();
      const bool half_weight = context.inputs[0].dtype() == DataType::kBFloat16;
      const bool half_velocity =
          context.inputs[1].dtype() == DataType::kBFloat16;
      if (half_weight && half_velocity) {
        return UpdateRounded<BHalf, BHalf>(context, step, key);
      }
      if (half_weight) return UpdateRounded<BHalf, float>(context, step, key);
      if (half_velocity) return UpdateRounded<float, BHalf>(context, step, key);
      return Update(context, step);
    });
  };
  return def;
}

}  // namespace facet::ops
