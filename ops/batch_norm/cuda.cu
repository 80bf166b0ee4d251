#include <vector>

#include "ops/batch_norm/formulas.h"
#include "ops/batch_norm/grouped_cuda.h"
#include "ops/cuda/block_shares.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

struct Counts {
  double of_part[kMostParts];
};

// Reads four values per channel and writes two.
__global__ void __launch_bounds__(kBlockThreads)
    UpdateKernel(Counts counts, double momentum, BlockShares shares,
                 DeviceSpans<float, kMostParts> means,
                 DeviceSpans<float, kMostParts> variances,
                 DeviceSpans<const float, kMostParts> sums,
                 DeviceSpans<const float, kMostParts> square_sums) {
  const BlockShares::Share share = shares.OfThisBlock();
  const int p = share.part;
  const int64_t c = share.block * kBlockThreads + threadIdx.x;
  if (c >= means.span[p].size()) return;
  const double count = counts.of_part[p];
  float m = means.span[p].Load(c), v = variances.span[p].Load(c);
  UpdateRunning(
      MomentsOf(sums.span[p].Load(c), square_sums.span[p].Load(c), count),
      count, momentum, &m, &v);
  means.span[p].Store(c, m);
  variances.span[p].Store(c, v);
}

// What one run updates: a group of images of a part.
struct Updated {
  size_t part, group;
  double count;
};

absl::Status Update(absl::Span<const KernelContext> parts, double momentum,
                    absl::Span<const Updated> updated) {
  size_t next = 0;
  while (next < updated.size()) {
    BlockShares shares;
    Counts counts;
    DeviceSpans<float, kMostParts> means, variances;
    DeviceSpans<const float, kMostParts> sums, square_sums;
    for (; next < updated.size() && !shares.full(); ++next) {
      const auto& [part, group, count] = updated[next];
      const absl::Span<const TensorView> inputs = parts[part].inputs;
      const DeviceSpan<float> mean = StatisticsOf<float>(group, inputs[0]);
      if (mean.size() == 0) continue;
      counts.of_part[means.count] = count;
      shares.Add((mean.size() + kBlockThreads - 1) / kBlockThreads);
      means.Add(mean);
      variances.Add(StatisticsOf<float>(group, inputs[1]));
      sums.Add(StatisticsOf<const float>(group, inputs[2]));
      square_sums.Add(StatisticsOf<const float>(group, inputs[3]));
    }
    if (shares.empty()) continue;
    RETURN_IF_ERROR(Launch(UpdateKernel, shares.shape(),
                           parts[0].cuda->stream(), counts, momentum, shares,
                           means, variances, sums, square_sums));
  }
  return absl::OkStatus();
}

absl::StatusOr<GroupKernel> CreateUpdate(absl::Span<const KernelSpec> specs) {
  std::vector<Updated> updated;
  for (size_t part = 0; part < specs.size(); ++part) {
    const std::vector<double> counts = UpdateCounts(specs[part]);
    for (size_t group = 0; group < counts.size(); ++group) {
      updated.push_back({part, group, counts[group]});
    }
  }
  return GroupKernel([momentum = specs[0].attributes.Float("momentum"),
                      updated](absl::Span<const KernelContext> parts) {
    return Update(parts, momentum, updated);
  });
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
    ASSIGN_OR_RETURN(const GroupKernel update,
                     CreateUpdate(absl::MakeConstSpan(&spec, 1)));
    return Kernel([update](const KernelContext& context) {
      return update(absl::MakeConstSpan(&context, 1));
    });
  };
  def.create_group = CreateUpdate;
  return def;
}

}  // namespace facet::ops
