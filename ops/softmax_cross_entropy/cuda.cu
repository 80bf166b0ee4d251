// Of stored logits; what the kernels do: device_row_kernels.h.
#include "ops/kernel.h"
#include "ops/softmax_cross_entropy/device_row_kernels.h"

namespace facet::ops {
namespace {

struct StoredLogits {
  static constexpr bool kMarksTarget = false;
  FACET_HOST_DEVICE float Plain(float stored) const { return stored; }
  FACET_HOST_DEVICE float Target(float stored) const { return stored; }
  FACET_HOST_DEVICE float PlainBackward(float dlogit, float) const {
    return dlogit;
  }
  FACET_HOST_DEVICE float TargetBackward(float dlogit, float) const {
    return dlogit;
  }
};

KernelDef Stateless(
    absl::Status (*run)(const KernelContext& context),
    absl::StatusOr<int64_t> (*workspace_bytes)(const Shape& matrix)) {
  KernelDef def;
  def.create = [run](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(run);
  };
  if (workspace_bytes != nullptr) {
    def.workspace_bytes = [workspace_bytes](const KernelSpec& spec) {
      return workspace_bytes(spec.inputs[0].shape);
    };
  }
  return def;
}

}  // namespace

KernelDef RowMaxCudaKernel() {
  return Stateless(
      [](const KernelContext& context) {
        return RowMax(context, StoredLogits{}, context.inputs[0], {});
      },
      BytesPerPiece<float>);
}

KernelDef RowSumExpCudaKernel() {
  return Stateless(
      [](const KernelContext& context) {
        return RowSumExp(context, StoredLogits{}, context.inputs[0], {},
                         context.inputs[1]);
      },
      BytesPerPiece<double>);
}

KernelDef SoftmaxCrossEntropyCudaKernel() {
  return Stateless(
      [](const KernelContext& context) {
        return MeanLoss(context, StoredLogits{}, context.inputs[0],
                        context.inputs[1], context.inputs[2],
                        context.inputs[3]);
      },
      nullptr);
}

KernelDef SoftmaxCrossEntropyGradCudaKernel() {
  return Stateless(
      [](const KernelContext& context) {
        return LossGradient(context, StoredLogits{}, context.inputs[0],
                            context.inputs[1], context.inputs[2],
                            context.inputs[3], context.inputs[4]);
      },
      nullptr);
}

}  // namespace facet::ops
