// Logits are made of cosines wherever they are used; what the kernels do:
// ops/softmax_cross_entropy/device_row_kernels.h.
#include "ops/combined_margin/margin.h"
#include "ops/kernel.h"
#include "ops/softmax_cross_entropy/device_row_kernels.h"

namespace facet::ops {
namespace {

struct MarginLogits {
  static constexpr bool kMarksTarget = true;
  Margin margin;

  FACET_HOST_DEVICE float Plain(float cosine) const {
    return PlainLogit(cosine, margin.scale);
  }
  FACET_HOST_DEVICE float Target(float cosine) const {
    return TargetLogit(cosine, margin);
  }
  FACET_HOST_DEVICE float PlainBackward(float dlogit, float cosine) const {
    return PlainGradient(dlogit, cosine, margin.scale);
  }
  FACET_HOST_DEVICE float TargetBackward(float dlogit, float cosine) const {
    return TargetGradient(dlogit, cosine, margin);
  }
};

KernelDef OfCosines(absl::Status (*run)(const MarginLogits& logits,
                                        const KernelContext& context)) {
  KernelDef def;
  def.create = [run](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const MarginLogits logits = {MarginFromAttributes(spec.attributes)};
    return Kernel([run, logits](const KernelContext& context) {
      return run(logits, context);
    });
  };
  return def;
}

DeviceSpan<const int32_t> LabelsOf(const KernelContext& context) {
  return DeviceSpan<const int32_t>(context.inputs[1]);
}

}  // namespace

KernelDef MarginSoftmaxMaxCudaKernel() {
  KernelDef def =
      OfCosines([](const MarginLogits& logits, const KernelContext& context) {
        return RowMax(context, logits, context.inputs[0], LabelsOf(context));
      });
  def.workspace_bytes = [](const KernelSpec& spec) {
    return BytesPerPiece<float>(spec.inputs[0].shape);
  };
  return def;
}

KernelDef MarginSoftmaxSumCudaKernel() {
  KernelDef def =
      OfCosines([](const MarginLogits& logits, const KernelContext& context) {
        return RowSumExp(context, logits, context.inputs[0], LabelsOf(context),
                         context.inputs[2]);
      });
  def.workspace_bytes = [](const KernelSpec& spec) {
    return BytesPerPiece<double>(spec.inputs[0].shape);
  };
  return def;
}

KernelDef MarginSoftmaxLossCudaKernel() {
  return OfCosines(
      [](const MarginLogits& logits, const KernelContext& context) {
        return MeanLoss(context, logits, context.inputs[0], context.inputs[2],
                        context.inputs[3], context.inputs[1]);
      });
}

KernelDef MarginSoftmaxGradCudaKernel() {
  return OfCosines(
      [](const MarginLogits& logits, const KernelContext& context) {
        return LossGradient(context, logits, context.inputs[0],
                            context.inputs[2], context.inputs[3],
                            context.inputs[1], context.inputs[4]);
      });
}

}  // namespace facet::ops
