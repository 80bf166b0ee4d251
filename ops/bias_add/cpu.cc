#include <algorithm>

#include "ops/elementwise.h"
#include "ops/half.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

template <typename T>
void AddBias(const T* x, const T* bias, int64_t rows, int64_t columns, T* y) {
  ParallelFor(rows, kElementwiseGrain / std::max<int64_t>(columns, 1) + 1,
              [&](int64_t begin, int64_t end) {
                for (int64_t row = begin; row < end; ++row) {
                  const T* x_row = x + row * columns;
                  T* y_row = y + row * columns;
                  ForElements(0, columns, [&](auto v, int64_t i) {
                    using V = decltype(v);
                    Store<V>(y_row + i, Load<V>(x_row + i) + Load<V>(bias + i));
                  });
                }
              });
}

}  // namespace

KernelDef BiasAddCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel([](const KernelContext& context) {
      const TensorView& x = context.inputs[0];
      VisitFloating(x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        AddBias(x.as<T>(), context.inputs[1].as<T>(), x.shape()[0],
                x.shape()[1], context.outputs[0].as<T>());
      });
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
