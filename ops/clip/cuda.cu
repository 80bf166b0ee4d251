#include <algorithm>

#include "ops/clip/clip_factor.h"
#include "ops/cuda/block_shares.h"
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

// Reads each x once. In double: squares of large floats do not overflow.
template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    SquaresKernel(BlockShares shares, DeviceSpans<const T, kMostParts> xs,
                  DeviceSpans<double, kMostParts> sums) {
  constexpr int kWidth = kVectorWidth<T>;
  const BlockShares::Share share = shares.OfThisBlock();
  const DeviceSpan<const T> x = xs.span[share.part];
  const int64_t thread = share.block * kBlockThreads + threadIdx.x;
  const int64_t vectors = x.size() / kWidth;
  double sum = 0;
  for (int64_t v = thread; v < vectors; v += share.blocks * kBlockThreads) {
    const Vector<T, kWidth> values = x.template LoadVector<kWidth>(v * kWidth);
    for (int k = 0; k < kWidth; ++k) {
      const double value = ToFloat(values.element[k]);
      sum += value * value;
    }
  }
  // The last few, fewer than a vector.
  const int64_t i = vectors * kWidth + thread;
  if (i < x.size()) {
    const double value = x.LoadFloat(i);
    sum += value * value;
  }
  sum = ReduceBlock(sum, Sum{}, 0.0);
  if (threadIdx.x == 0) sums.span[share.part].Store(share.block, sum);
}

// A block per part.
__global__ void __launch_bounds__(kBlockThreads)
    AddSumsKernel(DeviceSpans<const double, kMostParts> sums,
                  DeviceSpans<float, kMostParts> ys) {
  const DeviceSpan<const double> of_part = sums.span[blockIdx.x];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < of_part.size(); i += blockDim.x) {
    sum += of_part.Load(i);
  }
  sum = ReduceBlock(sum, Sum{}, 0.0);
  if (threadIdx.x == 0) {
    ys.span[blockIdx.x].Store(0, static_cast<float>(sum));
  }
}

template <typename T>
absl::Status SquareNorms(absl::Span<const KernelContext> parts) {
  BlockShares shares;
  DeviceSpans<const T, kMostParts> xs;
  DeviceSpans<double, kMostParts> sums;
  DeviceSpans<const double, kMostParts> complete;
  DeviceSpans<float, kMostParts> ys;
  for (const KernelContext& part : parts) {
    const DeviceSpan<const T> x(part.inputs[0]);
    const int64_t blocks = NumBlocks(x.size());
    const DeviceSpan<double> of_part(static_cast<double*>(part.workspace),
                                     blocks);
    shares.Add(blocks);
    xs.Add(x);
    sums.Add(of_part);
    complete.Add(of_part);
    ys.Add(DeviceSpan<float>(part.outputs[0]));
  }
  const cudaStream_t stream = parts[0].cuda->stream();
  RETURN_IF_ERROR(
      Launch(SquaresKernel<T>, shares.shape(), stream, shares, xs, sums));
  return Launch(AddSumsKernel, {dim3(parts.size())}, stream, complete, ys);
}

absl::Status SquareNorm(absl::Span<const KernelContext> parts) {
  return VisitElement(parts[0].inputs[0].dtype(), [&](auto zero) {
    for (size_t i = 0; i < parts.size(); i += kMostParts) {
      RETURN_IF_ERROR(
          SquareNorms<decltype(zero)>(parts.subspan(i, kMostParts)));
    }
    return absl::OkStatus();
  });
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
    return Kernel([](const KernelContext& context) {
      return SquareNorm(absl::MakeConstSpan(&context, 1));
    });
  };
  def.create_group =
      [](absl::Span<const KernelSpec>) -> absl::StatusOr<GroupKernel> {
    return GroupKernel(SquareNorm);
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
