#include "ops/class_labels.h"
#include "ops/combined_margin/margin.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/row_blocks.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// Calls plain(begin, end) for runs of elements of the matrix, and
// target(element) for the targets that are on this device. The output may be
// written over an input: target(element) comes before the plain run that
// covers the element, and what it returns is stored into `out` after it.
template <typename Plain, typename Target>
void ForPlainAndTargets(const TensorView& matrix, const TensorView& labels,
                        float* out, const Plain& plain, const Target& target) {
  const Shape& shape = matrix.shape();
  const int64_t first_class = matrix.slice.offset[1];
  const int32_t* label = labels.as<int32_t>();
  ForRowBlocks(shape[0], shape[1],
               [&](int64_t row, int64_t, int64_t begin, int64_t end) {
                 const int64_t start = row * shape[1];
                 const int64_t column = label[row] - first_class;
                 const bool is_here = column >= begin && column < end;
                 const float value = is_here ? target(start + column) : 0.0f;
                 plain(start + begin, start + end);
                 if (is_here) out[start + column] = value;
               });
}

}  // namespace

KernelDef CombinedMarginCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([margin = MarginFromAttributes(spec.attributes)](
                      const KernelContext& context) {
      const TensorView& cosines = context.inputs[0];
      const TensorView& labels = context.inputs[1];
      RETURN_IF_ERROR(CheckLabels(labels, cosines.slice.global_shape[1]));
      const float* cos = cosines.as<float>();
      float* logits = context.outputs[0].as<float>();
      ForPlainAndTargets(
          cosines, labels, logits,
          [&](int64_t begin, int64_t end) {
            ForElements(begin, end, [&](auto v, int64_t i) {
              using V = decltype(v);
              Store<V>(logits + i, PlainLogit(Load<V>(cos + i), margin.scale));
            });
          },
          [&](int64_t i) { return TargetLogit(cos[i], margin); });
      return absl::OkStatus();
    });
  };
  return def;
}

KernelDef CombinedMarginGradCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([margin = MarginFromAttributes(spec.attributes)](
                      const KernelContext& context) {
      const TensorView& cosines = context.inputs[1];
      const TensorView& labels = context.inputs[2];
      RETURN_IF_ERROR(CheckLabels(labels, cosines.slice.global_shape[1]));
      const float* dlogits = context.inputs[0].as<float>();
      const float* cos = cosines.as<float>();
      float* dcos = context.outputs[0].as<float>();
      ForPlainAndTargets(
          cosines, labels, dcos,
          [&](int64_t begin, int64_t end) {
            ForElements(begin, end, [&](auto v, int64_t i) {
              using V = decltype(v);
              Store<V>(dcos + i, PlainGradient(Load<V>(dlogits + i),
                                               Load<V>(cos + i), margin.scale));
            });
          },
          [&](int64_t i) {
            return TargetGradient(dlogits[i], cos[i], margin);
          });
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
