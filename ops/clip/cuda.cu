#include <algorithm>

#include "ops/clip/clip_factor.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// Depends on the size alone, and so do the bits of the sum.
int64_t NumBlocks(int64_t n) {
  constexpr int64_t kPerThread = 16, kMost = 1024;
  const int64_t per_block = kPerThread * kBlockThreads;
  return std::clamp<int64_t>((n + per_block - 1) / per_block, 1, kMost);
}

// Reads x once. In double: squares of large floats do not overflow.
template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    SquaresKernel(DeviceSpan<const T> x, DeviceSpan<double> sums) {
  constexpr int kWidth = kVectorWidth<T>;
  const int64_t vectors = x.size() / kWidth;
  double sum = 0;
  for (int64_t v = GridThread(); v < vectors; v += GridThreads()) {
    const Vector<T, kWidth> values = x.template LoadVector<kWidth>(v * kWidth);
    for (int k = 0; k < kWidth; ++k) {
      const double value = ToFloat(values.element[k]);
      sum += value * value;
    }
  }
  // The last few, fewer than a vector.
  const int64_t i = vectors * kWidth + GridThread();
  if (i < x.size()) {
    const double value = x.LoadFloat(i);
    sum += value * value;
  }
  sum = ReduceBlock(sum, Sum{}, 0.0);
  if (threadIdx.x == 0) sums.Store(blockIdx.x, sum);
}

// One block.
__global__ void __launch_bounds__(kBlockThreads)
    AddSumsKernel(DeviceSpan<const double> sums, DeviceSpan<float> y) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < sums.size(); i += blockDim.x) {
    sum += sums.Load(i);
  }
  sum = ReduceBlock(sum, Sum{}, 0.0);
  if (threadIdx.x == 0) y.Store(0, static_cast<float>(sum));
}

absl::Status SquareNorm(const KernelContext& context) {
  const TensorView& x = context.inputs[0];
  const int64_t blocks = NumBlocks(x.slice.num_elements());
  const DeviceSpan<double> sums(static_cast<double*>(context.workspace),
                                blocks);
  const cudaStream_t stream = context.cuda->stream();
  RETURN_IF_ERROR(VisitElement(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    return Launch(SquaresKernel<T>, {dim3(blocks)}, stream,
                  DeviceSpan<const T>(x), sums);
  }));
  return Launch(AddSumsKernel, {dim3(1)}, stream, sums,
                DeviceSpan<float>(context.outputs[0]));
}

// `loss_scale` is empty if there is none.
__global__ void ClipFactorKernel(DeviceSpan<const float> square_norm,
                                 DeviceSpan<const float> loss_scale,
                                 float max_norm, DeviceSpan<float> factor) {
  const float scale = loss_scale.size() > 0 ? loss_scale.Load(0) : 1.0f;
  factor.Store(0, ClipFactor(square_norm.Load(0), scale, max_norm));
}

}  // namespace

KernelDef SquareNormCudaKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    return NumBlocks(spec.inputs[0].num_elements()) *
           static_cast<int64_t>(sizeof(double));
  };
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(SquareNorm);
  };
  return def;
}

KernelDef ClipFactorCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float max_norm =
        static_cast<float>(spec.attributes.Float("max_norm"));
    return Kernel([max_norm](const KernelContext& context) {
      DeviceSpan<const float> loss_scale;
      if (context.inputs.size() > 1) {
        loss_scale = DeviceSpan<const float>(context.inputs[1]);
      }
      return Launch(ClipFactorKernel, {dim3(1), dim3(1)},
                    context.cuda->stream(),
                    DeviceSpan<const float>(context.inputs[0]), loss_scale,
                    max_norm, DeviceSpan<float>(context.outputs[0]));
    });
  };
  return def;
}

}  // namespace facet::ops
