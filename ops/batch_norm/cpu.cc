// CPU kernels of batch normalisation.

#include <vector>

#include "absl/status/statusor.h"
#include "ops/batch_norm/formulas.h"
#include "ops/batch_norm/grouped_cpu.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

absl::StatusOr<Kernel> CreateUpdate(const KernelSpec& spec) {
  const double momentum = spec.attributes.Float("momentum");
  const std::vector<double> counts = UpdateCounts(spec);
  return Kernel([momentum, counts](const KernelContext& context) {
    float* running_mean = context.inputs[0].as<float>();
    float* running_var = context.inputs[1].as<float>();
    const float* sum = context.inputs[2].as<float>();
    const float* square_sum = context.inputs[3].as<float>();
    const int64_t channels = context.inputs[0].shape()[1];
    for (size_t group = 0; group < counts.size(); ++group) {
      const double n = counts[group];
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t i = static_cast<int64_t>(group) * channels + c;
        const Moments moments = MomentsOf(sum[i], square_sum[i], n);
        UpdateRunning(moments, n, momentum, &running_mean[i], &running_var[i]);
      }
    }
    return absl::OkStatus();
  });
}

}  // namespace

KernelDef BatchNormStatisticsCpuKernel() {
  return GroupedCpuKernel<BatchNormStatisticsFormula>();
}

KernelDef BatchNormCpuKernel() { return GroupedCpuKernel<BatchNormFormula>(); }

KernelDef BatchNormGradStatisticsCpuKernel() {
  return GroupedCpuKernel<BatchNormGradStatisticsFormula>();
}

KernelDef BatchNormGradInputCpuKernel() {
  return GroupedCpuKernel<BatchNormGradInputFormula>();
}

KernelDef BatchNormInferenceCpuKernel() {
  return GroupedCpuKernel<BatchNormInferenceFormula>();
}

KernelDef BatchNormUpdateCpuKernel() {
  KernelDef def;
  def.create = CreateUpdate;
  return def;
}

}  // namespace facet::ops
