#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/parallel_status.h"
#include "ops/row_list_view.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/sgd_update_rows/row_state.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status UpdateRow(const SgdStep& step, const RowState& state, int64_t row,
                       const float* gradient) {
  float* weight = state.weight(row);
  float* momentum = state.momentum(row);
  RETURN_IF_ERROR(state.CatchUp(row));
  ForElements(0, state.columns(), [&](auto v, int64_t i) {
    using V = decltype(v);
    V w = Load<V>(weight + i);
    V m = Load<V>(momentum + i);
    step(&w, &m, Load<V>(gradient + i));
    Store<V>(weight + i, w);
    Store<V>(momentum + i, m);
  });
  state.SetUpdated(row);
  return absl::OkStatus();
}

absl::Status UpdateRows(const KernelContext& context, const SgdStep& constants,
                        bool lazy) {
  const size_t rows = lazy ? 4 : 2;
  const RowState state(context, lazy);
  const std::optional<SgdStep> step =
      SgdOfThisRun(constants, context, rows + 2);
  if (step.has_value()) {
    const RowListView list(context.inputs[rows], state.slice());
    const float* gradient = context.inputs[rows + 1].as<float>();
    auto prefetch = [&](int64_t row) { state.Prefetch(row); };
    auto update = [&](int64_t entry, int64_t row) {
      if (row < 0) return absl::OkStatus();
      return UpdateRow(*step, state, row, gradient + entry * state.columns());
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
    return Kernel([lazy, constants = SgdConstants(spec.attributes)](
                      const KernelContext& context) {
      return UpdateRows(context, constants, lazy);
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
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel([](const KernelContext& context) {
      return RowState(context, /*lazy=*/true).CatchUpAll();
    });
  };
  return def;
}

}  // namespace facet::ops
