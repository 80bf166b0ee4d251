// Of stored logits; what the kernels do: row_kernels.h.
#include <algorithm>

#include "ops/kernel.h"
#include "ops/softmax_cross_entropy/row_kernels.h"

namespace facet::ops {
namespace {

class StoredLogits {
 public:
  explicit StoredLogits(const TensorView& logits)
      : logits_(logits.as<float>()), columns_(logits.shape()[1]) {}

  const float* Chunk(int64_t row, int64_t begin, int64_t, float*) const {
    return logits_ + row * columns_ + begin;
  }
  void Backward(int64_t, int64_t begin, int64_t end, const float* dlogits,
                float* dstored) const {
    std::copy_n(dlogits, end - begin, dstored);
  }

 private:
  const float* logits_;
  int64_t columns_;
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

KernelDef RowMaxCpuKernel() {
  return Stateless(
      [](const KernelContext& context) {
        const TensorView& x = context.inputs[0];
        return RowMax(StoredLogits(x), x.slice, context.workspace,
                      context.outputs[0].as<float>());
      },
      BytesPerBlock<float>);
}

KernelDef RowSumExpCpuKernel() {
  return Stateless(
      [](const KernelContext& context) {
        const TensorView& x = context.inputs[0];
        return RowSumExp(StoredLogits(x), x.slice,
                         context.inputs[1].as<float>(), context.workspace,
                         context.outputs[0].as<float>());
      },
      BytesPerBlock<double>);
}

KernelDef SoftmaxCrossEntropyCpuKernel() {
  return Stateless(
      [](const KernelContext& context) {
        const TensorView& x = context.inputs[0];
        return MeanLoss(StoredLogits(x), x.slice, context.inputs[1].as<float>(),
                        context.inputs[2].as<float>(), context.inputs[3],
                        context.outputs[0].as<float>());
      },
      nullptr);
}

KernelDef SoftmaxCrossEntropyGradCpuKernel() {
  return Stateless(
      [](const KernelContext& context) {
        const TensorView& x = context.inputs[0];
        return LossGradient(
            StoredLogits(x), x.slice, context.inputs[1].as<float>(),
            context.inputs[2].as<float>(), context.inputs[3],
            *context.inputs[4].as<float>(), context.outputs[0].as<float>());
      },
      nullptr);
}

}  // namespace facet::ops
