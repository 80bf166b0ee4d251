#include "glog/logging.h"
#include "ops/cuda/map.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

struct ScaleBy {
  float factor;
  FACET_HOST_DEVICE float operator()(float x) const { return x * factor; }
};

struct Invert {
  FACET_HOST_DEVICE float operator()(float x) const { return 1.0f / x; }
};

void CheckSameLayout(const KernelSpec& spec) {
  CHECK(spec.inputs[0].layout == spec.outputs[0].layout) << "layouts differ";
}

absl::StatusOr<Kernel> CreateScale(const KernelSpec& spec) {
  CheckSameLayout(spec);
  const ScaleBy scale = {static_cast<float>(spec.attributes.Float("factor"))};
  return Kernel([scale](const KernelContext& context) {
    return VisitElement(context.inputs[0].dtype(), [&](auto zero) {
      using T = decltype(zero);
      return Map(*context.cuda, scale, DeviceSpan<T>(context.outputs[0]),
                 DeviceSpan<const T>(context.inputs[0]));
    });
  });
}

absl::StatusOr<Kernel> CreateReciprocal(const KernelSpec& spec) {
  CheckSameLayout(spec);
  return Kernel([](const KernelContext& context) {
    return Map(*context.cuda, Invert{}, DeviceSpan<float>(context.outputs[0]),
               DeviceSpan<const float>(context.inputs[0]));
  });
}

}  // namespace

KernelDef ScaleCudaKernel() { return {nullptr, CreateScale}; }
KernelDef ReciprocalCudaKernel() { return {nullptr, CreateReciprocal}; }

}  // namespace facet::ops
