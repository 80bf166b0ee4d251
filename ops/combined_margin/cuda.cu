// A label that is no class is nobody's target here; softmax_cross_entropy makes
// the loss of such a batch NaN.
#include "ops/combined_margin/margin.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/row_pieces.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

// Reads cos and writes the logits once.
__global__ void __launch_bounds__(kBlockThreads)
    MarginKernel(RowPieces pieces, Margin margin, int64_t first_class,
                 DeviceSpan<const float> cos, DeviceSpan<const int32_t> labels,
                 DeviceSpan<float> logits) {
  const int64_t target = labels.Load(pieces.row()) - first_class;
  const int64_t first = pieces.row() * pieces.columns;
  for (int64_t c = pieces.first_column() + threadIdx.x; c < pieces.end_column();
       c += blockDim.x) {
    const float cosine = cos.Load(first + c);
    logits.Store(first + c, c == target ? TargetLogit(cosine, margin)
                                        : PlainLogit(cosine, margin.scale));
  }
}

// Reads dlogits and cos and writes dcos once.
__global__ void __launch_bounds__(kBlockThreads)
    MarginGradKernel(RowPieces pieces, Margin margin, int64_t first_class,
                     DeviceSpan<const float> dlogits,
                     DeviceSpan<const float> cos,
                     DeviceSpan<const int32_t> labels, DeviceSpan<float> dcos) {
  const int64_t target = labels.Load(pieces.row()) - first_class;
  const int64_t first = pieces.row() * pieces.columns;
  for (int64_t c = pieces.first_column() + threadIdx.x; c < pieces.end_column();
       c += blockDim.x) {
    const float gradient = dlogits.Load(first + c);
    const float cosine = cos.Load(first + c);
    dcos.Store(first + c, c == target
                              ? TargetGradient(gradient, cosine, margin)
                              : PlainGradient(gradient, cosine, margin.scale));
  }
}

absl::Status ApplyMargin(const KernelContext& context, const Margin& margin) {
  const TensorView& cos = context.inputs[0];
  if (cos.slice.num_elements() == 0) return absl::OkStatus();
  const RowPieces pieces = {cos.shape()[0], cos.shape()[1]};
  return Launch(MarginKernel, pieces.shape(), context.cuda->stream(), pieces,
                margin, cos.slice.offset[1], DeviceSpan<const float>(cos),
                DeviceSpan<const int32_t>(context.inputs[1]),
                DeviceSpan<float>(context.outputs[0]));
}

absl::Status ApplyMarginGrad(const KernelContext& context,
                             const Margin& margin) {
  const TensorView& cos = context.inputs[1];
  if (cos.slice.num_elements() == 0) return absl::OkStatus();
  const RowPieces pieces = {cos.shape()[0], cos.shape()[1]};
  return Launch(MarginGradKernel, pieces.shape(), context.cuda->stream(),
                pieces, margin, cos.slice.offset[1],
                DeviceSpan<const float>(context.inputs[0]),
                DeviceSpan<const float>(cos),
                DeviceSpan<const int32_t>(context.inputs[2]),
                DeviceSpan<float>(context.outputs[0]));
}

KernelDef WithMargin(absl::Status (*run)(const KernelContext&, const Margin&)) {
  KernelDef def;
  def.create = [run](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const Margin margin = MarginFromAttributes(spec.attributes);
    return Kernel([run, margin](const KernelContext& context) {
      return run(context, margin);
    });
  };
  return def;
}

}  // namespace

KernelDef CombinedMarginCudaKernel() { return WithMargin(ApplyMargin); }
KernelDef CombinedMarginGradCudaKernel() { return WithMargin(ApplyMarginGrad); }

}  // namespace facet::ops
