#include <algorithm>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

// The tensor is [outer, rows, inner]; y [outer, inner] sums over the rows. Both
// kernels read x once and add in an order that depends on the shape alone.

// inner == 1: a block per row of adjacent elements.
template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    SumRowsKernel(DeviceSpan<const T> x, int64_t rows, DeviceSpan<T> y) {
  const int64_t first = int64_t{blockIdx.x} * rows;
  float sum = 0;
  for (int64_t i = threadIdx.x; i < rows; i += blockDim.x) {
    sum += x.LoadFloat(first + i);
  }
  sum = ReduceBlock(sum, Sum{}, 0.0f);
  if (threadIdx.x == 0) y.StoreFloat(blockIdx.x, sum);
}

// A block sums kColumns adjacent columns: warps take turns with the rows, so
// that a warp reads adjacent elements, and add up what they have at the end.
constexpr int kColumns = 32;
constexpr int kWarps = kBlockThreads / kColumns;

template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    SumColumnsKernel(DeviceSpan<const T> x, int64_t rows, int64_t inner,
                     DeviceSpan<T> y) {
  __shared__ float sums[kWarps][kColumns];
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  const int64_t outer = blockIdx.x / blocks;
  const int lane = static_cast<int>(threadIdx.x % kColumns);
  const int warp = static_cast<int>(threadIdx.x / kColumns);
  const int64_t column = blockIdx.x % blocks * kColumns + lane;
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
absl::Status ReduceSum(const KernelContext& context, int axis) {
  const Shape& shape = context.inputs[0].shape();
  const int64_t outer = shape.num_elements(0, axis);
  const int64_t rows = shape[axis];
  const int64_t inner = shape.num_elements(axis + 1, shape.rank());
  const DeviceSpan<const T> x(context.inputs[0]);
  const DeviceSpan<T> y(context.outputs[0]);
  if (y.size() == 0) return absl::OkStatus();
  const cudaStream_t stream = context.cuda->stream();
  if (inner == 1) {
    return Launch(SumRowsKernel<T>, {dim3(outer)}, stream, x, rows, y);
  }
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  return Launch(SumColumnsKernel<T>, {dim3(outer * blocks)}, stream, x, rows,
                inner, y);
}

}  // namespace

KernelDef ReduceSumCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const int axis = static_cast<int>(spec.attributes.Int("axis"));
    return Kernel([axis](const KernelContext& context) {
      return VisitElement(context.inputs[0].dtype(), [&](auto zero) {
        return ReduceSum<decltype(zero)>(context, axis);
      });
    });
  };
  return def;
}

}  // namespace facet::ops
