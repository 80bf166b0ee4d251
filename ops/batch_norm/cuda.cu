#include <vector>

#include "ops/batch_norm/formulas.h"
#include "ops/batch_norm/grouped_cuda.h"
#include "ops/cuda/cuda_context.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// Reads four values per channel and writes two.
__global__ void UpdateKernel(double count, double momentum,
                             DeviceSpan<float> mean, DeviceSpan<float> variance,
                             DeviceSpan<const float> sum,
                             DeviceSpan<const float> square_sum) {
  for (int64_t c = GridThread(); c < mean.size(); c += GridThreads()) {
    float m = mean.Load(c), v = variance.Load(c);
    UpdateRunning(MomentsOf(sum.Load(c), square_sum.Load(c), count), count,
                  momentum, &m, &v);
    mean.Store(c, m);
    variance.Store(c, v);
  }
}

absl::Status Update(const KernelContext& context, double momentum,
                    const std::vector<double>& counts) {
  for (size_t group = 0; group < counts.size(); ++group) {
    const DeviceSpan<float> mean =
        StatisticsOf<float>(group, context.inputs[0]);
    RETURN_IF_ERROR(
        Launch(UpdateKernel, {dim3(context.cuda->BlocksFor(mean.size()))},
               context.cuda->stream(), counts[group], momentum, mean,
               StatisticsOf<float>(group, context.inputs[1]),
               StatisticsOf<const float>(group, context.inputs[2]),
               StatisticsOf<const float>(group, context.inputs[3])));
  }
  return absl::OkStatus();
}

}  // namespace

KernelDef BatchNormStatisticsCudaKernel() {
  return GroupedCudaKernel<BatchNormStatisticsFormula>();
}
KernelDef BatchNormCudaKernel() {
  return GroupedCudaKernel<BatchNormFormula>();
}
KernelDef BatchNormGradStatisticsCudaKernel() {
  return GroupedCudaKernel<BatchNormGradStatisticsFormula>();
}
KernelDef BatchNormGradInputCudaKernel() {
  return GroupedCudaKernel<BatchNormGradInputFormula>();
}
KernelDef BatchNormInferenceCudaKernel() {
  return GroupedCudaKernel<BatchNormInferenceFormula>();
}

KernelDef BatchNormUpdateCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const double momentum = spec.attributes.Float("momentum");
    return Kernel(
        [momentum, counts = UpdateCounts(spec)](const KernelContext& context) {
          return Update(context, momentum, counts);
        });
  };
  return def;
}

}  // namespace facet::ops
