
#include "ops/elementwise.h"
#include "ops/half.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

// In float32, rounded once, also for half types. `y` may be one of the inputs.
template <typename T>
void Sum(absl::Span<const TensorView> inputs, const TensorView& y) {
  T* out = y.as<T>();
  const int64_t n = y.slice.num_elements();
  if (inputs.size() == 2) {
    const T* a = inputs[0].as<T>();
    const T* b = inputs[1].as<T>();
    ParallelForElements(n, [=](auto v, int64_t i) {
      using V = decltype(v);
      Store<V>(out + i, Load<V>(a + i) + Load<V>(b + i));
    });
    return;
  }
  ParallelForElements(n, [=](auto v, int64_t i) {
    using V = decltype(v);
    V sum = Load<V>(inputs[0].as<T>() + i);
    for (size_t k = 1; k < inputs.size(); ++k) {
      sum += Load<V>(inputs[k].as<T>() + i);
    }
    Store<V>(out + i, sum);
  });
}

absl::StatusOr<Kernel> Create(const KernelSpec& spec) {
  for (const TensorSlice& input : spec.inputs) {
    CHECK(input.layout == spec.outputs[0].layout) << "layouts differ";
    CHECK_EQ(input.num_elements(), spec.outputs[0].num_elements());
  }
  return Kernel([](const KernelContext& context) {
    VisitFloating(context.outputs[0].dtype(), [&](auto zero) {
      Sum<decltype(zero)>(context.inputs, context.outputs[0]);
    });
    return absl::OkStatus();
  });
}

}  // namespace

KernelDef AddCpuKernel() { return {nullptr, Create}; }
KernelDef AddNCpuKernel() { return {nullptr, Create}; }

}  // namespace facet::ops
