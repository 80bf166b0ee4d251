#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/l2_normalize/dot.h"
#include "ops/l2_normalize/normalize.h"
#include "ops/visit_stored.h"

namespace facet::ops {
namespace {

// Calls body(row) for the rows of a [rows, columns] tensor.
template <typename Body>
void ForRows(const Shape& shape, const Body& body) {
  ParallelFor(shape[0], kElementwiseGrain / shape[1] + 1,
              [&](int64_t begin, int64_t end) {
                for (int64_t row = begin; row < end; ++row) body(row);
              });
}

// T: how x is stored.
template <typename T>
void Normalize(const KernelContext& context, float eps) {
  const Shape& shape = context.inputs[0].shape();
  ForRows(shape, [&](int64_t row) {
    const T* x = context.inputs[0].as<T>() + row * shape[1];
    float* y = context.outputs[0].as<float>() + row * shape[1];
    const RowNorm norm = RowNormOf(Dot(x, x, shape[1]), eps);
    ForElements(0, shape[1], [&](auto v, int64_t i) {
      using V = decltype(v);
      Store<V>(y + i, Load<V>(x + i) * norm.inverse);
    });
  });
}

template <typename T>
void Gradient(const KernelContext& context, float eps) {
  const Shape& shape = context.inputs[0].shape();
  ForRows(shape, [&](int64_t row) {
    const float* dy = context.inputs[0].as<float>() + row * shape[1];
    const T* x = context.inputs[1].as<T>() + row * shape[1];
    float* dx = context.outputs[0].as<float>() + row * shape[1];
    const RowNorm norm = RowNormOf(Dot(x, x, shape[1]), eps);
    const float projection = Projection(norm, Dot(x, dy, shape[1]));
    ForElements(0, shape[1], [&](auto v, int64_t i) {
      using V = decltype(v);
      Store<V>(dx + i, NormalizeGradient(Load<V>(dy + i), Load<V>(x + i), norm,
                                         projection));
    });
  });
}

}  // namespace

KernelDef L2NormalizeCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float eps = static_cast<float>(spec.attributes.Float("eps"));
    return Kernel([eps](const KernelContext& context) {
      VisitStored(context.inputs[0].dtype(),
                  [&](auto zero) { Normalize<decltype(zero)>(context, eps); });
      return absl::OkStatus();
    });
  };
  return def;
}

KernelDef L2NormalizeGradCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float eps = static_cast<float>(spec.attributes.Float("eps"));
    return Kernel([eps](const KernelContext& context) {
      VisitStored(context.inputs[1].dtype(),
                  [&](auto zero) { Gradient<decltype(zero)>(context, eps); });
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
