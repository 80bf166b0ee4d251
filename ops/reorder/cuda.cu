#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/cuda/convert.h"
#include "ops/cuda/cuda_error.h"
#include "ops/cuda/element.h"
#include "ops/cuda/launch.h"
#include "ops/kernel.h"
#include "ops/reorder/device_change_layout.h"

namespace facet::ops {
namespace {

constexpr int kTile = 32;
constexpr int kTileRows = kBlockThreads / kTile;

template <typename Y, typename X>
__device__ inline Y As(X x) {
  if constexpr (std::is_same_v<X, Y>) {
    return x;
  } else {
    return FromFloat<Y>(ToFloat(x));
  }
}

// y[n][column][row] = x[n][row][column], tile by tile, so that both sides are
// read and written along their rows. Moves every element once.
template <typename X, typename Y>
__global__ void __launch_bounds__(kBlockThreads)
    TransposeKernel(DeviceSpan<const X> x, int64_t rows, int64_t columns,
                    DeviceSpan<Y> y) {
  // One more column, so that a column's elements are in different banks.
  __shared__ X tile[kTile][kTile + 1];
  const int64_t row_tiles = (rows + kTile - 1) / kTile;
  const int64_t column_tiles = (columns + kTile - 1) / kTile;
  const int64_t matrix = blockIdx.x / (row_tiles * column_tiles);
  const int64_t in_matrix = blockIdx.x % (row_tiles * column_tiles);
  const int64_t first_row = in_matrix / column_tiles * kTile;
  const int64_t first_column = in_matrix % column_tiles * kTile;
  const int64_t base = matrix * rows * columns;
  const int lane = static_cast<int>(threadIdx.x % kTile);
  const int first = static_cast<int>(threadIdx.x / kTile);
  for (int r = first; r < kTile; r += kTileRows) {
    const int64_t row = first_row + r;
    const int64_t column = first_column + lane;
    if (row < rows && column < columns) {
      tile[r][lane] = x.Load(base + row * columns + column);
    }
  }
  __syncthreads();
  for (int c = first; c < kTile; c += kTileRows) {
    const int64_t row = first_row + lane;
    const int64_t column = first_column + c;
    if (row < rows && column < columns) {
      y.Store(base + column * rows + row, As<Y>(tile[lane][c]));
    }
  }
}

template <typename X, typename Y = X>
absl::Status Transpose(const CudaContext& cuda, int64_t matrices, int64_t rows,
                       int64_t columns, const TensorView& x,
                       const TensorView& y) {
  const int64_t tiles =
      matrices * ((rows + kTile - 1) / kTile) * ((columns + kTile - 1) / kTile);
  if (tiles == 0) return absl::OkStatus();
  return Launch(TransposeKernel<X, Y>, {dim3(tiles)}, cuda.stream(),
                DeviceSpan<const X>(x), rows, columns, DeviceSpan<Y>(y));
}

}  // namespace

absl::Status ChangeLayout(const CudaContext& cuda, const Shape& shape,
                          Layout from, const TensorView& x, Layout to,
                          const TensorView& y) {
  CHECK_EQ(shape.rank(), 4) << shape.ToString();
  for (Layout layout : {from, to}) {
    if (ChannelBlock(layout) == 1) continue;
    return absl::UnimplementedError(
        absl::StrCat("layout ", LayoutName(layout),
                     " on a CUDA device; it has nchw and nhwc"));
  }
  const int64_t size_bytes = x.slice.size_bytes();
  if (LieAlike(shape, from, to)) {
    if (x.dtype() != y.dtype()) return Convert(cuda, x, y);
    if (x.data == y.data || size_bytes == 0) return absl::OkStatus();
    return ToStatus(cudaMemcpyAsync(y.data, x.data, size_bytes,
                                    cudaMemcpyDeviceToDevice, cuda.stream()),
                    "cudaMemcpyAsync");
  }
  const int64_t channels = shape[1];
  const int64_t positions = shape[2] * shape[3];
  const bool channels_first = from == Layout::kRowMajor;
  const int64_t rows = channels_first ? channels : positions;
  const int64_t columns = channels_first ? positions : channels;
  if (x.dtype() != y.dtype()) {
    return VisitElement(x.dtype(), [&](auto from_zero) {
      return VisitElement(y.dtype(), [&](auto to_zero) {
        return Transpose<decltype(from_zero), decltype(to_zero)>(
            cuda, shape[0], rows, columns, x, y);
      });
    });
  }
  switch (SizeInBytes(x.dtype())) {
    case 2:
      return Transpose<uint16_t>(cuda, shape[0], rows, columns, x, y);
    case 4:
      return Transpose<uint32_t>(cuda, shape[0], rows, columns, x, y);
    default:
      return Transpose<uint64_t>(cuda, shape[0], rows, columns, x, y);
  }
}

KernelDef ReorderCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel([](const KernelContext& context) {
      const TensorView& x = context.inputs[0];
      const TensorView& y = context.outputs[0];
      return ChangeLayout(*context.cuda, x.shape(), x.slice.layout, x,
                          y.slice.layout, y);
    });
  };
  return def;
}

}  // namespace facet::ops
