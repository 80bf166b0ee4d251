#include "ops/cuda/channels.h"
#include "ops/cuda/cuda_context.h"
#include "ops/kernel.h"
#include "ops/prelu/prelu.h"

namespace facet::ops {
namespace {

// Reads x and writes y.
struct PreluStep {
  static constexpr int kConstants = 1, kSums = 0;
  FACET_HOST_DEVICE float operator()(const float* alpha, float*,
                                     float x) const {
    return PreluValue(x, alpha[0]);
  }
};

// Reads dy and x and writes dx, and sums dalpha on the way.
struct PreluGradStep {
  static constexpr int kConstants = 1, kSums = 1;
  FACET_HOST_DEVICE float operator()(const float* alpha, float* sums, float dy,
                                     float x) const {
    sums[0] += PreluAlphaGradient(dy, x);
    return PreluGradient(dy, x, alpha[0]);
  }
};

ChannelWalk WalkOf(const TensorSlice& x) {
  return ChannelWalk::Make(x, x.shape[0]);
}

absl::Status Prelu(const KernelContext& context) {
  const TensorView& x = context.inputs[0];
  return VisitElement(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    return MapChannels(*context.cuda, WalkOf(x.slice), PreluStep(),
                       DeviceSpan<const float>(context.inputs[1]),
                       DeviceSpan<T>(context.outputs[0]),
                       DeviceSpan<const T>(x));
  });
}

absl::Status PreluGrad(const KernelContext& context) {
  const TensorView& x = context.inputs[1];
  const ChannelWalk walk = WalkOf(x.slice);
  const DeviceSpan<double> partial(static_cast<double*>(context.workspace),
                                   walk.partial_sums(PreluGradStep::kSums));
  DeviceSpans<float, 1> dalpha;
  dalpha.span[0] = DeviceSpan<float>(context.outputs[1]);
  return VisitElement(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    return MapAndSumChannels(*context.cuda, walk, PreluGradStep(),
                             DeviceSpan<const float>(context.inputs[2]),
                             partial, dalpha, DeviceSpan<T>(context.outputs[0]),
                             DeviceSpan<const T>(context.inputs[0]),
                             DeviceSpan<const T>(x));
  });
}

}  // namespace

KernelDef PreluCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(Prelu);
  };
  return def;
}

KernelDef PreluGradCudaKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    return WalkOf(spec.inputs[1]).partial_sums(PreluGradStep::kSums) *
           static_cast<int64_t>(sizeof(double));
  };
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(PreluGrad);
  };
  return def;
}

}  // namespace facet::ops
