#include <cstdint>

#include "ops/cuda/block_shares.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// The tensor is [outer, rows, inner]; y [outer, inner] sums over the rows. Both
// ways read x once and add in an order that depends on the shape alone.

// Of several tensors at once.
struct Sizes {
  int64_t rows[kMostParts], inner[kMostParts];
};

// inner == 1: a block per row of adjacent elements.
template <typename T>
__device__ void SumRow(DeviceSpan<const T> x, int64_t block, int64_t rows,
                       DeviceSpan<T> y) {
  const int64_t first = block * rows;
  float sum = 0;
  for (int64_t i = threadIdx.x; i < rows; i += blockDim.x) {
    sum += x.LoadFloat(first + i);
  }
  sum = ReduceBlock(sum, Sum{}, 0.0f);
  if (threadIdx.x == 0) y.StoreFloat(block, sum);
}

// A block sums kColumns adjacent columns: warps take turns with the rows, so
// that a warp reads adjacent elements, and add up what they have at the end.
constexpr int kColumns = 32;
constexpr int kWarps = kBlockThreads / kColumns;

template <typename T>
__device__ void SumColumns(DeviceSpan<const T> x, int64_t block, int64_t rows,
                           int64_t inner, DeviceSpan<T> y) {
  __shared__ float sums[kWarps][kColumns];
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  const int64_t outer = block / blocks;
  const int lane = static_cast<int>(threadIdx.x % kColumns);
  const int warp = static_cast<int>(threadIdx.x / kColumns);
  const int64_t column = block % blocks * kColumns + lane;
  float sum = 0;
  if (column < inner) {
    for (int64_t row = warp; row < rows; row += kWarps) {
      sum += x.LoadFloat((outer * rows + row) * inner + column);
    }
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || column >= inner) return;
  for (int w = 1; w < kWarps; ++w) sum += sums[w][lane];
  y.StoreFloat(outer * inner + column, sum);
}

template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    SumKernel(BlockShares shares, Sizes sizes,
              DeviceSpans<const T, kMostParts> xs,
              DeviceSpans<T, kMostParts> ys) {
  const BlockShares::Share share = shares.OfThisBlock();
  const int64_t rows = sizes.rows[share.part];
  const int64_t inner = sizes.inner[share.part];
  if (inner == 1) {
    SumRow(xs.span[share.part], share.block, rows, ys.span[share.part]);
  } else {
    SumColumns(xs.span[share.part], share.block, rows, inner,
               ys.span[share.part]);
  }
}

template <typename T>
absl::Status ReduceSums(absl::Span<const KernelContext> parts, int axis) {
  size_t next = 0;
  while (next < parts.size()) {
    BlockShares shares;
    Sizes sizes;
    DeviceSpans<const T, kMostParts> xs;
    DeviceSpans<T, kMostParts> ys;
    const cudaStream_t stream = parts[next].cuda->stream();
    for (; next < parts.size() && !shares.full(); ++next) {
      const KernelContext& part = parts[next];
      const Shape& shape = part.inputs[0].shape();
      const DeviceSpan<T> y(part.outputs[0]);
      if (y.size() == 0) continue;
      const int64_t outer = shape.num_elements(0, axis);
      const int64_t inner = shape.num_elements(axis + 1, shape.rank());
      sizes.rows[xs.count] = shape[axis];
      sizes.inner[xs.count] = inner;
      shares.Add(inner == 1 ? outer
                            : outer * ((inner + kColumns - 1) / kColumns));
      xs.Add(DeviceSpan<const T>(part.inputs[0]));
      ys.Add(y);
    }
    if (shares.empty()) continue;
    RETURN_IF_ERROR(
        Launch(SumKernel<T>, shares.shape(), stream, shares, sizes, xs, ys));
  }
  return absl::OkStatus();
}

absl::Status ReduceSum(absl::Span<const KernelContext> parts, int axis) {
  return VisitElement(parts[0].inputs[0].dtype(), [&](auto zero) {
    return ReduceSums<decltype(zero)>(parts, axis);
  });
}

}  // namespace

KernelDef ReduceSumCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const int axis = static_cast<int>(spec.attributes.Int("axis"));
    return Kernel([axis](const KernelContext& context) {
      return ReduceSum(absl::MakeConstSpan(&context, 1), axis);
    });
  };
  def.create_group =
      [](absl::Span<const KernelSpec> specs) -> absl::StatusOr<GroupKernel> {
    const int axis = static_cast<int>(specs[0].attributes.Int("axis"));
    return GroupKernel([axis](absl::Span<const KernelContext> parts) {
      return ReduceSum(parts, axis);
    });
  };
  return def;
}

}  // namespace facet::ops
