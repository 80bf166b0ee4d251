#include "ops/cuda/launch.h"
#include "ops/fill/device_fill.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

// Writes every element once.
template <typename T>
__global__ void FillKernel(DeviceSpan<T> y, T value) {
  for (int64_t i = GridThread(); i < y.size(); i += GridThreads()) {
    y.Store(i, value);
  }
}

template <typename T>
absl::Status FillWith(const CudaContext& cuda, const TensorView& tensor,
                      T value) {
  const DeviceSpan<T> y(tensor);
  if (y.size() == 0) return absl::OkStatus();
  return Launch(FillKernel<T>, {dim3(cuda.BlocksFor(y.size()))}, cuda.stream(),
                y, value);
}

}  // namespace

absl::Status FillConstant(const CudaContext& cuda, const TensorView& tensor,
                          double value) {
  switch (tensor.dtype()) {
    case DataType::kInt32:
      return FillWith(cuda, tensor, static_cast<int32_t>(value));
    case DataType::kInt64:
      return FillWith(cuda, tensor, static_cast<int64_t>(value));
    default:
      return VisitElement(tensor.dtype(), [&](auto zero) {
        using T = decltype(zero);
        return FillWith(cuda, tensor, FromFloat<T>(static_cast<float>(value)));
      });
  }
}

KernelDef FillCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const double value = spec.attributes.Float("value");
    return Kernel([value](const KernelContext& context) {
      return FillConstant(*context.cuda, context.outputs[0], value);
    });
  };
  return def;
}

}  // namespace facet::ops
