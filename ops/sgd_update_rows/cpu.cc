#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/parallel_status.h"
#include "ops/row_list_view.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/sgd_update_rows/decay_history.h"
#include "ops/sgd_update_rows/row_state.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

template <typename W, typename M>
absl::Status UpdateRows(const KernelContext& context, const SgdStep& constants,
                        bool lazy, const RandomStream& rounding) {
  const size_t rows = lazy ? 4 : 2;
  const RowState<W, M> state(context, lazy, rounding);
  const std::optional<SgdStep> step =
      SgdOfThisRun(constants, context, rows + 2);
  if (step.has_value()) {
    const RowListView list(context.inputs[rows], state.slice());
    const float* gradients = context.inputs[rows + 1].as<float>();
    auto prefetch = [&](int64_t row) { state.Prefetch(row); };
    auto update = [&](int64_t entry, int64_t row) {
      if (row < 0) return absl::OkStatus();
      const float* gradient = gradients + entry * state.columns();
      return state.Update(row, [&](const auto& run, const auto& stream,
                                   const auto& catch_up) {
        UpdateState(run, stream, [&](auto* weight, auto* momentum, int64_t i) {
          using V = std::decay_t<decltype(*weight)>;
          catch_up(weight, momentum);
          (*step)(weight, momentum, Load<V>(gradient + i));
        });
      });
    };
    RETURN_IF_ERROR(ParallelForStatus(
        list.count(), kElementwiseGrain / state.columns() + 1,
        [&](int64_t begin, int64_t end) {
          return list.ForEntries(begin, end, prefetch, update);
        }));
  }
  return state.Sweep();
}

KernelDef UpdateKernel(bool lazy) {
  KernelDef def;
  def.create = [lazy](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel(
        [lazy, constants = SgdConstants(spec.attributes),
         key = spec.attributes.Int("key")](const KernelContext& context) {
          return VisitState(
              context.inputs[0], context.inputs[1], [&](auto w, auto m) {
                return UpdateRows<decltype(w), decltype(m)>(
                    context, constants, lazy, RoundingStream(context, key));
              });
        });
  };
  return def;
}

// Step `now` is over.
template <typename V>
void AddStep(const SgdStep& step, float* history, int64_t steps, int64_t i) {
  float* column = history + i;
  const Decay<V> before = {Load<V>(column), Load<V>(column + steps),
                           Load<V>(column + 2 * steps),
                           Load<V>(column + 3 * steps)};
  const Decay<V> after =
      before.Then(step.learning_rate, step.momentum, step.weight_decay);
  Store<V>(column, after.a);
  Store<V>(column + steps, after.b);
  Store<V>(column + 2 * steps, after.c);
  Store<V>(column + 3 * steps, after.d);
}

absl::Status UpdateHistory(const KernelContext& context,
                           const SgdStep& constants) {
  SgdStep step = constants;
  step.learning_rate = *context.inputs[1].as<float>();
  const bool skip =
      context.inputs.size() > 2 && *context.inputs[2].as<float>() != 0;
  float* history = context.inputs[0].as<float>();
  const int64_t steps = context.inputs[0].shape()[1];
  // The column of the oldest step begins anew.
  const int64_t now = context.step % steps;
  const Decay<float> identity;
  history[now] = identity.a;
  history[now + steps] = identity.b;
  history[now + 2 * steps] = identity.c;
  history[now + 3 * steps] = identity.d;
  if (skip) return absl::OkStatus();
  ForElements(0, steps, [&](auto v, int64_t i) {
    AddStep<decltype(v)>(step, history, steps, i);
  });
  return absl::OkStatus();
}

}  // namespace

KernelDef SgdUpdateRowsCpuKernel() { return UpdateKernel(/*lazy=*/false); }

KernelDef SgdUpdateRowsLazilyCpuKernel() { return UpdateKernel(/*lazy=*/true); }

KernelDef DecayHistoryUpdateCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([constants = SgdConstants(spec.attributes)](
                      const KernelContext& context) {
      return UpdateHistory(context, constants);
    });
  };
  return def;
}

KernelDef CatchUpRowsCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const int64_t key = CatchUpRoundingKey(spec.attributes.Int("key"));
    return Kernel([key](const KernelContext& context) {
      return VisitState(
          context.inputs[0], context.inputs[1], [&](auto w, auto m) {
            return RowState<decltype(w), decltype(m)>(
                       context, /*lazy=*/true, RoundingStream(context, key))
                .CatchUpAll();
          });
    });
  };
  return def;
}

}  // namespace facet::ops
