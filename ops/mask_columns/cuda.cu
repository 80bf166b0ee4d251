#include <cstdint>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/cuda_error.h"
#include "ops/cuda/launch.h"
#include "ops/kernel.h"
#include "ops/mask_columns/mask_value.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// The first entry of [begin, end), a line of a row list, that is padding.
__device__ int64_t FirstPadding(const DeviceSpan<const int32_t>& rows,
                                int64_t begin, int64_t end) {
  while (begin < end) {
    const int64_t middle = begin + (end - begin) / 2;
    if (rows.Load(middle) < 0) {
      end = middle;
    } else {
      begin = middle + 1;
    }
  }
  return begin;
}

// A block has a line of the list, of one row. Writes the padding, a few per
// cent of the columns, and reads some 20 entries of the line to find it.
__global__ void __launch_bounds__(kBlockThreads)
    MaskKernel(int64_t lines, int64_t capacity, float value,
               DeviceSpan<const int32_t> rows, DeviceSpan<float> y) {
  const int64_t row = blockIdx.x / lines;
  const int64_t line = blockIdx.x % lines;
  const int64_t end = (line + 1) * capacity;
  const int64_t first = FirstPadding(rows, line * capacity, end);
  for (int64_t c = first + threadIdx.x; c < end; c += blockDim.x) {
    y.Store(row * lines * capacity + c, value);
  }
}

// In place, as a rule; else x is copied first.
absl::Status Mask(const KernelContext& context, float value) {
  const TensorView& x = context.inputs[0];
  const TensorView& y = context.outputs[0];
  // The entries of the list that are here are the columns that are here.
  const TensorView& rows = context.inputs[1];
  const cudaStream_t stream = context.cuda->stream();
  if (x.slice.num_elements() == 0) return absl::OkStatus();
  if (y.data != x.data) {
    RETURN_IF_CUDA_ERROR(cudaMemcpyAsync(y.data, x.data, x.slice.size_bytes(),
                                         cudaMemcpyDeviceToDevice, stream));
  }
  const int64_t lines = rows.shape()[0];
  return Launch(MaskKernel, {dim3(x.shape()[0] * lines)}, stream, lines,
                rows.shape()[1], value, DeviceSpan<const int32_t>(rows),
                DeviceSpan<float>(y));
}

}  // namespace

KernelDef MaskColumnsCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel(
        [value = MaskValue(spec.attributes)](const KernelContext& context) {
          return Mask(context, value);
        });
  };
  return def;
}

}  // namespace facet::ops
