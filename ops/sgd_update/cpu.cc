#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/sgd_update/stored_state.h"
#include "ops/slice_runs.h"

namespace facet::ops {
namespace {

template <typename W, typename M>
void Update(const KernelContext& context, const SgdStep& step,
            const RandomStream& rounding) {
  const TensorSlice& slice = context.inputs[0].slice;
  W* weights = context.inputs[0].as<W>();
  M* momenta = context.inputs[1].as<M>();
  const float* gradients = context.inputs[2].as<float>();
  ParallelFor(
      slice.num_elements(), kElementwiseGrain, [&](int64_t begin, int64_t end) {
        ForEachRun(slice, begin, end,
                   [&](int64_t local, int64_t global, int64_t count) {
                     const float* gradient = gradients + local;
                     const StateRun<W, M> run = {
                         weights + local, momenta + local, global, count};
                     UpdateState(run, rounding,
                                 [&](auto* weight, auto* momentum, int64_t i) {
                                   using V = std::decay_t<decltype(*weight)>;
                                   step(weight, momentum,
                                        Load<V>(gradient + i));
                                 });
                   });
      });
}

}  // namespace

KernelDef SgdUpdateCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel(
        [sgd = AccumulatingSgdOf(spec.attributes),
         key = spec.attributes.Int("key")](const KernelContext& context) {
          const std::optional<SgdStep> step =
              SgdOfThisRun(sgd.At(context.step), context, 3);
          if (!step.has_value()) return absl::OkStatus();
          const RandomStream rounding = RoundingStream(context, key);
          VisitState(context.inputs[0], context.inputs[1], [&](auto w, auto m) {
            Update<decltype(w), decltype(m)>(context, *step, rounding);
          });
          return absl::OkStatus();
        });
  };
  return def;
}

}  // namespace facet::ops
