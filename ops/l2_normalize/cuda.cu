// A warp has a row: it adds up what the row's scale needs, then reads the row
// again, out of the cache.
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/cuda/warp_per_row.h"
#include "ops/kernel.h"
#include "ops/l2_normalize/normalize.h"

namespace facet::ops {
namespace {

// X: how x is stored, float or BHalf. Moves every element twice, once from
// memory; 3 operations.
template <typename X>
__global__ void __launch_bounds__(kBlockThreads)
    NormalizeKernel(int64_t rows, int64_t columns, float eps,
                    DeviceSpan<const X> x, DeviceSpan<float> y) {
  const int64_t row = RowOfWarp();
  if (row >= rows) return;
  const int64_t end = (row + 1) * columns;
  const int64_t first = row * columns + threadIdx.x % 32;
  float sum = 0;
  for (int64_t i = first; i < end; i += 32)
    sum += x.LoadFloat(i) * x.LoadFloat(i);
  const RowNorm norm = RowNormOf(ReduceWarp(sum, Sum{}), eps);
  for (int64_t i = first; i < end; i += 32) {
    y.Store(i, x.LoadFloat(i) * norm.inverse);
  }
}

// Reads dy and x and writes dx; 8 operations per element.
template <typename X>
__global__ void __launch_bounds__(kBlockThreads)
    NormalizeGradKernel(int64_t rows, int64_t columns, float eps,
                        DeviceSpan<const float> dy, DeviceSpan<const X> x,
                        DeviceSpan<float> dx) {
  const int64_t row = RowOfWarp();
  if (row >= rows) return;
  const int64_t end = (row + 1) * columns;
  const int64_t first = row * columns + threadIdx.x % 32;
  float square = 0, dot = 0;
  for (int64_t i = first; i < end; i += 32) {
    square += x.LoadFloat(i) * x.LoadFloat(i);
    dot += x.LoadFloat(i) * dy.Load(i);
  }
  const RowNorm norm = RowNormOf(ReduceWarp(square, Sum{}), eps);
  const float projection = Projection(norm, ReduceWarp(dot, Sum{}));
  for (int64_t i = first; i < end; i += 32) {
    dx.Store(i,
             NormalizeGradient(dy.Load(i), x.LoadFloat(i), norm, projection));
  }
}

template <typename X>
absl::Status Normalize(const KernelContext& context, float eps) {
  const Shape& shape = context.inputs[0].shape();
  if (shape.num_elements() == 0) return absl::OkStatus();
  return Launch(NormalizeKernel<X>, WarpPerRow(shape[0]),
                context.cuda->stream(), shape[0], shape[1], eps,
                DeviceSpan<const X>(context.inputs[0]),
                DeviceSpan<float>(context.outputs[0]));
}

template <typename X>
absl::Status NormalizeGrad(const KernelContext& context, float eps) {
  const Shape& shape = context.inputs[0].shape();
  if (shape.num_elements() == 0) return absl::OkStatus();
  return Launch(NormalizeGradKernel<X>, WarpPerRow(shape[0]),
                context.cuda->stream(), shape[0], shape[1], eps,
                DeviceSpan<const float>(context.inputs[0]),
                DeviceSpan<const X>(context.inputs[1]),
                DeviceSpan<float>(context.outputs[0]));
}

using Run = absl::Status (*)(const KernelContext& context, float eps);

// By how input `x` is stored, float32 or bfloat16.
KernelDef WithEps(int x, Run as_float, Run as_bfloat16) {
  KernelDef def;
  def.create = [=](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float eps = static_cast<float>(spec.attributes.Float("eps"));
    const Run run =
        spec.inputs[x].dtype == DataType::kBFloat16 ? as_bfloat16 : as_float;
    return Kernel(
        [run, eps](const KernelContext& context) { return run(context, eps); });
  };
  return def;
}

}  // namespace

KernelDef L2NormalizeCudaKernel() {
  return WithEps(0, Normalize<float>, Normalize<BHalf>);
}
KernelDef L2NormalizeGradCudaKernel() {
  return WithEps(1, NormalizeGrad<float>, NormalizeGrad<BHalf>);
}

}  // namespace facet::ops
