#include "ops/accumulate/sum_of_steps.h"
#include "ops/elementwise.h"
#include "ops/graph/every.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

// y = function(sum, gradient), the inputs. y may be either.
template <typename Function>
void Combine(const KernelContext& context, const Function& function, float* y) {
  const float* sum = context.inputs[0].as<float>();
  const float* gradient = context.inputs[1].as<float>();
  ParallelForElements(
      context.inputs[0].slice.num_elements(), [=](auto v, int64_t i) {
        using V = decltype(v);
        Store<V>(y + i, function(Load<V>(sum + i), Load<V>(gradient + i)));
      });
}

}  // namespace

KernelDef AccumulateGradientCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel(
        [steps = spec.attributes.Int("steps")](const KernelContext& context) {
          float* sum = context.inputs[0].as<float>();
          if (StartsRound(steps, context.step)) {
            Combine(
                context, [](auto, auto gradient) { return gradient; }, sum);
          } else if (!EndsRound(steps, context.step)) {
            Combine(context, SumOf(), sum);
          }
          return absl::OkStatus();
        });
  };
  return def;
}

KernelDef MeanGradientCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float steps = static_cast<float>(spec.attributes.Int("steps"));
    return Kernel([mean = MeanOf{1 / steps}](const KernelContext& context) {
      Combine(context, mean, context.outputs[0].as<float>());
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
