#include "glog/logging.h"
#include "ops/cuda/map.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

struct Same {
  FACET_HOST_DEVICE float operator()(float x) const { return x; }
};

absl::Status Cast(const KernelContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& y = context.outputs[0];
  return VisitElement(x.dtype(), [&](auto from) {
    return VisitElement(y.dtype(), [&](auto to) {
      return Map(*context.cuda, Same{}, DeviceSpan<decltype(to)>(y),
                 DeviceSpan<const decltype(from)>(x));
    });
  });
}

}  // namespace

KernelDef CastCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    CHECK(spec.inputs[0].layout == spec.outputs[0].layout) << "layouts differ";
    return Kernel(Cast);
  };
  return def;
}

}  // namespace facet::ops
