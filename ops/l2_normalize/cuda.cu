// A warp has a row: it adds up what the row's scale needs, then reads the row
// again, out of the cache.
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/kernel.h"
#include "ops/l2_normalize/normalize.h"

namespace facet::ops {
namespace {

constexpr int kWarps = kBlockThreads / 32;

LaunchShape WarpPerRow(int64_t rows) {
  return {dim3((rows + kWarps - 1) / kWarps)};
}

__device__ int64_t RowOfWarp() {
  return int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
}

// Moves every element twice, once from memory; 3 operations.
__global__ void __launch_bounds__(kBlockThreads)
    NormalizeKernel(int64_t rows, int64_t columns, float eps,
                    DeviceSpan<const float> x, DeviceSpan<float> y) {
  const int64_t row = RowOfWarp();
  if (row >= rows) return;
  const int64_t end = (row + 1) * columns;
  const int64_t first = row * columns + threadIdx.x % 32;
  float sum = 0;
  for (int64_t i = first; i < end; i += 32) sum += x.Load(i) * x.Load(i);
  const RowNorm norm = RowNormOf(ReduceWarp(sum, Sum{}), eps);
  for (int64_t i = first; i < end; i += 32) {
    y.Store(i, x.Load(i) * norm.inverse);
  }
}

// Reads dy and x and writes dx; 8 operations per element.
__global__ void __launch_bounds__(kBlockThreads)
    NormalizeGradKernel(int64_t rows, int64_t columns, float eps,
                        DeviceSpan<const float> dy, DeviceSpan<const float> x,
                        DeviceSpan<float> dx) {
  const int64_t row = RowOfWarp();
  if (row >= rows) return;
  const int64_t end = (row + 1) * columns;
  const int64_t first = row * columns + threadIdx.x % 32;
  float square = 0, dot = 0;
  for (int64_t i = first; i < end; i += 32) {
    square += x.Load(i) * x.Load(i);
    dot += x.Load(i) * dy.Load(i);
  }
  const RowNorm norm = RowNormOf(ReduceWarp(square, Sum{}), eps);
  const float projection = Projection(norm, ReduceWarp(dot, Sum{}));
  for (int64_t i = first; i < end; i += 32) {
    dx.Store(i, NormalizeGradient(dy.Load(i), x.Load(i), norm, projection));
  }
}

absl::Status Normalize(const KernelContext& context, float eps) {
  const Shape& shape = context.inputs[0].shape();
  if (shape.num_elements() == 0) return absl::OkStatus();
  return Launch(NormalizeKernel, WarpPerRow(shape[0]), context.cuda->stream(),
                shape[0], shape[1], eps,
                DeviceSpan<const float>(context.inputs[0]),
                DeviceSpan<float>(context.outputs[0]));
}

absl::Status NormalizeGrad(const KernelContext& context, float eps) {
  const Shape& shape = context.inputs[0].shape();
  if (shape.num_elements() == 0) return absl::OkStatus();
  return Launch(NormalizeGradKernel, WarpPerRow(shape[0]),
                context.cuda->stream(), shape[0], shape[1], eps,
                DeviceSpan<const float>(context.inputs[0]),
                DeviceSpan<const float>(context.inputs[1]),
                DeviceSpan<float>(context.outputs[0]));
}

KernelDef WithEps(absl::Status (*run)(const KernelContext&, float eps)) {
  KernelDef def;
  def.create = [run](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float eps = static_cast<float>(spec.attributes.Float("eps"));
    return Kernel(
        [run, eps](const KernelContext& context) { return run(context, eps); });
  };
  return def;
}

}  // namespace

KernelDef L2NormalizeCudaKernel() { return WithEps(Normalize); }
KernelDef L2NormalizeGradCudaKernel() { return WithEps(NormalizeGrad); }

}  // namespace facet::ops
