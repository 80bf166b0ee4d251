#include <cmath>

#include "ops/cosine_softmax/class_groups.h"
#include "ops/kernel.h"

namespace facet::ops {

KernelDef AddCpuKernel();
KernelDef FillCpuKernel();
KernelDef CosineLinearCpuKernel();
KernelDef CosineLinearGradInputCpuKernel();
KernelDef CosineLinearSgdCpuKernel();
KernelDef MarginSoftmaxSumCpuKernel();
KernelDef MarginSoftmaxLossCpuKernel();
KernelDef MarginSoftmaxGradCpuKernel();

namespace {

// A group's cosines stay in the last cache, and its rows of w as long as there
// are more images than columns.
HeadKernels CpuParts() {
  constexpr int64_t kGroupBytes = int64_t{4} << 20;
  return {AddCpuKernel(),
          FillCpuKernel(),
          CosineLinearCpuKernel(),
          CosineLinearGradInputCpuKernel(),
          CosineLinearSgdCpuKernel(),
          MarginSoftmaxSumCpuKernel(),
          MarginSoftmaxLossCpuKernel(),
          MarginSoftmaxGradCpuKernel(),
          kGroupBytes};
}

absl::StatusOr<Kernel> CreateLoss(const KernelSpec&) {
  return Kernel([](const KernelContext& context) {
    const TensorView& sum = context.inputs[0];
    double total = 0;
    for (int64_t row = 0; row < sum.shape()[0]; ++row) {
      total += std::log(static_cast<double>(sum.as<float>()[row]));
    }
    *context.outputs[0].as<float>() = static_cast<float>(
        total / static_cast<double>(sum.slice.global_shape[0]) +
        *context.inputs[1].as<float>());
    return absl::OkStatus();
  });
}

}  // namespace

KernelDef CosineSoftmaxSumCpuKernel() {
  return GroupedCosineSoftmaxSum(CpuParts());
}
KernelDef CosineSoftmaxLossCpuKernel() { return {nullptr, CreateLoss}; }
KernelDef CosineSoftmaxGradInputCpuKernel() {
  return GroupedCosineSoftmaxGradInput(CpuParts());
}
KernelDef CosineSoftmaxSgdCpuKernel() {
  return GroupedCosineSoftmaxSgd(CpuParts());
}

}  // namespace facet::ops
