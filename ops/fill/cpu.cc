#include <algorithm>

#include "ops/fill/fill_constant.h"
#include "ops/half.h"
#include "ops/kernel.h"
#include "ops/parallel.h"

namespace facet::ops {
namespace {

template <typename T>
void FillWith(const TensorView& tensor, T value) {
  T* data = tensor.as<T>();
  ParallelFor(tensor.slice.num_elements(), 65536,
              [&](int64_t begin, int64_t end) {
                std::fill(data + begin, data + end, value);
              });
}

}  // namespace

void FillConstant(const TensorView& tensor, double value) {
  switch (tensor.dtype()) {
    case DataType::kInt32:
      return FillWith(tensor, static_cast<int32_t>(value));
    case DataType::kInt64:
      return FillWith(tensor, static_cast<int64_t>(value));
    default:
      VisitFloating(tensor.dtype(), [&](auto zero) {
        FillWith(tensor,
                 static_cast<decltype(zero)>(static_cast<float>(value)));
      });
  }
}

KernelDef FillCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const double value = spec.attributes.Float("value");
    return Kernel([value](const KernelContext& context) {
      FillConstant(context.outputs[0], value);
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
