// CPU kernels of prelu and its gradient: one pass over memory each
// (channel_loops.h), arithmetic in float32.

#include <memory>

#include "absl/status/statusor.h"
#include "ops/channel_loops.h"
#include "ops/float8.h"
#include "ops/kernel.h"
#include "ops/prelu/prelu.h"

namespace facet::ops {
namespace {

template <typename T>
struct PreluStep {
  const T* x;
  T* y;
  template <typename V>
  void operator()(int64_t i, const V* alpha, V*) const {
    Store(y + i, PreluValue(Load<V>(x + i), alpha[0]));
  }
};

// dx may lie over dy or x: everything is read before it is written.
template <typename T>
struct PreluGradStep {
  const T* dy;
  const T* x;
  T* dx;
  template <typename V>
  void operator()(int64_t i, const V* alpha, V* sums) const {
    const V gradient = Load<V>(dy + i);
    const V value = Load<V>(x + i);
    Store(dx + i, PreluGradient(gradient, value, alpha[0]));
    sums[0] += PreluAlphaGradient(gradient, value);
  }
};

absl::StatusOr<Kernel> CreatePrelu(const KernelSpec& spec) {
  auto grid =
      std::make_shared<const ChannelGrid>(ChannelGrid::Make(spec.inputs[0]));
  return Kernel([grid](const KernelContext& context) {
    const TensorView& x = context.inputs[0];
    VisitFloating(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      MapChannels<1>(*grid, context.inputs[1].as<float>(),
                     PreluStep<T>{x.as<T>(), context.outputs[0].as<T>()});
    });
    return absl::OkStatus();
  });
}

absl::StatusOr<Kernel> CreatePreluGrad(const KernelSpec& spec) {
  auto grid =
      std::make_shared<const ChannelGrid>(ChannelGrid::Make(spec.inputs[1]));
  return Kernel([grid](const KernelContext& context) {
    const TensorView& dy = context.inputs[0];
    const TensorView& x = context.inputs[1];
    float* dalpha = context.outputs[1].as<float>();
    VisitFloating(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      ReduceChannels<1, 1>(
          *grid, context.inputs[2].as<float>(),
          static_cast<double*>(context.workspace),
          PreluGradStep<T>{dy.as<T>(), x.as<T>(), context.outputs[0].as<T>()},
          [&](int64_t, int, int64_t channel, double sum) {
            dalpha[channel] = static_cast<float>(sum);
          });
    });
    return absl::OkStatus();
  });
}

}  // namespace

KernelDef PreluCpuKernel() {
  KernelDef def;
  def.create = CreatePrelu;
  return def;
}

KernelDef PreluGradCpuKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) {
    const ChannelGrid grid = ChannelGrid::Make(spec.inputs[1]);
    return absl::StatusOr<int64_t>(grid.partial_sums(1) *
                                   static_cast<int64_t>(sizeof(double)));
  };
  def.create = CreatePreluGrad;
  return def;
}

}  // namespace facet::ops
