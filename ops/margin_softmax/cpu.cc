// Logits are made of cosines a chunk at a time, which stays in the first cache;
// what the kernels do: ops/softmax_cross_entropy/row_kernels.h.
#include "ops/combined_margin/margin.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/softmax_cross_entropy/row_kernels.h"

namespace facet::ops {
namespace {

class MarginLogits {
 public:
  MarginLogits(const Margin& margin, const TensorView& cosines,
               const TensorView& labels)
      : margin_(margin),
        cosines_(cosines.as<float>()),
        labels_(labels.as<int32_t>()),
        columns_(cosines.shape()[1]),
        first_class_(cosines.slice.offset[1]) {}

  const float* Chunk(int64_t row, int64_t begin, int64_t end,
                     float* logits) const {
    const float* cos = cosines_ + row * columns_ + begin;
    ForElements(0, end - begin, [&](auto v, int64_t i) {
      using V = decltype(v);
      Store<V>(logits + i, PlainLogit(Load<V>(cos + i), margin_.scale));
    });
    const int64_t target = labels_[row] - first_class_;
    if (target >= begin && target < end) {
      logits[target - begin] = TargetLogit(cos[target - begin], margin_);
    }
    return logits;
  }

  // dcos may be the cosines.
  void Backward(int64_t row, int64_t begin, int64_t end, const float* dlogits,
                float* dcos) const {
    const float* cos = cosines_ + row * columns_ + begin;
    const int64_t target = labels_[row] - first_class_ - begin;
    const bool is_here = target >= 0 && target < end - begin;
    const float of_target =
        is_here ? TargetGradient(dlogits[target], cos[target], margin_) : 0;
    ForElements(0, end - begin, [&](auto v, int64_t i) {
      using V = decltype(v);
      Store<V>(dcos + i, PlainGradient(Load<V>(dlogits + i), Load<V>(cos + i),
                                       margin_.scale));
    });
    if (is_here) dcos[target] = of_target;
  }

 private:
  const Margin margin_;
  const float* cosines_;
  const int32_t* labels_;
  const int64_t columns_;
  const int64_t first_class_;
};

// run(logits, cosines, context)
template <typename Run>
KernelDef OfCosines(const Run& run) {
  KernelDef def;
  def.create = [run](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([run, margin = MarginFromAttributes(spec.attributes)](
                      const KernelContext& context) {
      const TensorView& cosines = context.inputs[0];
      return run(MarginLogits(margin, cosines, context.inputs[1]),
                 cosines.slice, context);
    });
  };
  return def;
}

}  // namespace

KernelDef MarginSoftmaxMaxCpuKernel() {
  KernelDef def =
      OfCosines([](const MarginLogits& logits, const TensorSlice& matrix,
                   const KernelContext& context) {
        return RowMax(logits, matrix, context.workspace,
                      context.outputs[0].as<float>());
      });
  def.workspace_bytes = [](const KernelSpec& spec) {
    return BytesPerBlock<float>(spec.inputs[0].shape);
  };
  return def;
}

KernelDef MarginSoftmaxSumCpuKernel() {
  KernelDef def =
      OfCosines([](const MarginLogits& logits, const TensorSlice& matrix,
                   const KernelContext& context) {
        return RowSumExp(logits, matrix, context.inputs[2].as<float>(),
                         context.workspace, context.outputs[0].as<float>());
      });
  def.workspace_bytes = [](const KernelSpec& spec) {
    return BytesPerBlock<double>(spec.inputs[0].shape);
  };
  return def;
}

KernelDef MarginSoftmaxLossCpuKernel() {
  return OfCosines([](const MarginLogits& logits, const TensorSlice& matrix,
                      const KernelContext& context) {
    return MeanLoss(logits, matrix, context.inputs[2].as<float>(),
                    context.inputs[3].as<float>(), context.inputs[1],
                    context.outputs[0].as<float>());
  });
}

KernelDef MarginSoftmaxGradCpuKernel() {
  return OfCosines([](const MarginLogits& logits, const TensorSlice& matrix,
                      const KernelContext& context) {
    return LossGradient(logits, matrix, context.inputs[2].as<float>(),
                        context.inputs[3].as<float>(), context.inputs[1],
                        *context.inputs[4].as<float>(),
                        context.outputs[0].as<float>());
  });
}

}  // namespace facet::ops
