#include "ops/cuda/cuda_context.h"
#include "ops/cuda/row_pieces.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

// Reads x and writes y once; the bias stays in the cache.
template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    BiasAddKernel(RowPieces pieces, DeviceSpan<const T> x,
                  DeviceSpan<const T> bias, DeviceSpan<T> y) {
  const int64_t first = pieces.row() * pieces.columns;
  for (int64_t c = pieces.first_column() + threadIdx.x; c < pieces.end_column();
       c += blockDim.x) {
    y.StoreFloat(first + c, x.LoadFloat(first + c) + bias.LoadFloat(c));
  }
}

absl::Status BiasAdd(const KernelContext& context) {
  const Shape& shape = context.inputs[0].shape();
  if (shape.num_elements() == 0) return absl::OkStatus();
  const RowPieces pieces = {shape[0], shape[1]};
  return VisitElement(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    return Launch(BiasAddKernel<T>, pieces.shape(), context.cuda->stream(),
                  pieces, DeviceSpan<const T>(context.inputs[0]),
                  DeviceSpan<const T>(context.inputs[1]),
                  DeviceSpan<T>(context.outputs[0]));
  });
}

}  // namespace

KernelDef BiasAddCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(BiasAdd);
  };
  return def;
}

}  // namespace facet::ops
