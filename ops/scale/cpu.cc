#include "ops/elementwise.h"
#include "ops/half.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

void CheckSameLayout(const KernelSpec& spec) {
  CHECK(spec.inputs[0].layout == spec.outputs[0].layout) << "layouts differ";
}

absl::StatusOr<Kernel> CreateScale(const KernelSpec& spec) {
  CheckSameLayout(spec);
  const float factor = static_cast<float>(spec.attributes.Float("factor"));
  return Kernel([factor](const KernelContext& context) {
    VisitFloating(context.inputs[0].dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* x = context.inputs[0].as<T>();
      T* y = context.outputs[0].as<T>();
      ParallelForElements(context.inputs[0].slice.num_elements(),
                          [=](auto v, int64_t i) {
                            using V = decltype(v);
                            Store<V>(y + i, Load<V>(x + i) * factor);
                          });
    });
    return absl::OkStatus();
  });
}

absl::Status Reciprocal(const KernelContext& context) {
  const float* x = context.inputs[0].as<float>();
  float* y = context.outputs[0].as<float>();
  ParallelForElements(context.inputs[0].slice.num_elements(),
                      [=](auto v, int64_t i) {
                        using V = decltype(v);
                        Store<V>(y + i, 1.0f / Load<V>(x + i));
                      });
  return absl::OkStatus();
}

absl::StatusOr<Kernel> CreateReciprocal(const KernelSpec& spec) {
  CheckSameLayout(spec);
  return Kernel(Reciprocal);
}

}  // namespace

KernelDef ScaleCpuKernel() { return {nullptr, CreateScale}; }
KernelDef ReciprocalCpuKernel() { return {nullptr, CreateReciprocal}; }

}  // namespace facet::ops
