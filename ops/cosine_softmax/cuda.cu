// Three of the kernels are made of those of other ops (class_groups.h); their
// rooflines: ops/cosine_linear/cuda.cu and ops/margin_softmax/cuda.cu. The
// loss reads 4 N bytes and takes N logarithms.
#include <cmath>

#include "ops/cosine_softmax/class_groups.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/device_span.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/kernel.h"

namespace facet::ops {

KernelDef AddCudaKernel();
KernelDef FillCudaKernel();
KernelDef CosineLinearCudaKernel();
KernelDef CosineLinearGradInputCudaKernel();
KernelDef CosineLinearSgdCudaKernel();
KernelDef MarginSoftmaxSumCudaKernel();
KernelDef MarginSoftmaxLossCudaKernel();
KernelDef MarginSoftmaxGradCudaKernel();

namespace {

// Large enough for the products (cosine_linear's tiles are as large).
HeadKernels CudaParts() {
  constexpr int64_t kGroupBytes = int64_t{128} << 20;
  return {AddCudaKernel(),
          FillCudaKernel(),
          CosineLinearCudaKernel(),
          CosineLinearGradInputCudaKernel(),
          CosineLinearSgdCudaKernel(),
          MarginSoftmaxSumCudaKernel(),
          MarginSoftmaxLossCudaKernel(),
          MarginSoftmaxGradCudaKernel(),
          kGroupBytes};
}

// One block.
__global__ void __launch_bounds__(kBlockThreads)
    CosineSoftmaxLossKernel(DeviceSpan<const float> sum,
                            DeviceSpan<const float> target_loss, double batch,
                            DeviceSpan<float> loss) {
  double total = 0;
  for (int64_t row = threadIdx.x; row < sum.size(); row += blockDim.x) {
    total += log(static_cast<double>(sum.Load(row)));
  }
  total = ReduceBlock(total, Sum{}, 0.0);
  if (threadIdx.x == 0) {
    loss.Store(0, static_cast<float>(total / batch + target_loss.Load(0)));
  }
}

absl::StatusOr<Kernel> CreateLoss(const KernelSpec&) {
  return Kernel([](const KernelContext& context) {
    const TensorView& sum = context.inputs[0];
    return Launch(CosineSoftmaxLossKernel, {dim3(1)}, context.cuda->stream(),
                  DeviceSpan<const float>(sum),
                  DeviceSpan<const float>(context.inputs[1]),
                  static_cast<double>(sum.slice.global_shape[0]),
                  DeviceSpan<float>(context.outputs[0]));
  });
}

}  // namespace

KernelDef CosineSoftmaxSumCudaKernel() {
  return GroupedCosineSoftmaxSum(CudaParts());
}
KernelDef CosineSoftmaxLossCudaKernel() { return {nullptr, CreateLoss}; }
KernelDef CosineSoftmaxGradInputCudaKernel() {
  return GroupedCosineSoftmaxGradInput(CudaParts());
}
KernelDef CosineSoftmaxSgdCudaKernel() {
  return GroupedCosineSoftmaxSgd(CudaParts());
}

}  // namespace facet::ops
