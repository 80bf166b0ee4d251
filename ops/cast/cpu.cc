#include "ops/elementwise.h"
#include "ops/half.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

template <typename From, typename To>
void Cast(const TensorView& x, const TensorView& y) {
  const From* from = x.as<From>();
  To* to = y.as<To>();
  ParallelForElements(x.slice.num_elements(), [=](auto v, int64_t i) {
    using V = decltype(v);
    Store<V>(to + i, Load<V>(from + i));
  });
}

}  // namespace

KernelDef CastCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    CHECK(spec.inputs[0].layout == spec.outputs[0].layout) << "layouts differ";
    return Kernel([](const KernelContext& context) {
      const TensorView& x = context.inputs[0];
      const TensorView& y = context.outputs[0];
      VisitFloating(x.dtype(), [&](auto from) {
        VisitFloating(y.dtype(), [&](auto to) {
          Cast<decltype(from), decltype(to)>(x, y);
        });
      });
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
