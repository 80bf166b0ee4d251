#include <cstring>

#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/row_list_view.h"
#include "ops/sgd_update_rows/decay_history.h"

namespace facet::ops {
namespace {

// Calls copy(row, to) for every listed row, in parallel; zeros for padding.
template <typename Copy>
void Gather(const KernelContext& context, const Copy& copy) {
  const TensorView& weight = context.inputs[0];
  const RowListView list(context.inputs[1], weight.slice);
  const int64_t columns = weight.shape()[1];
  float* y = context.outputs[0].as<float>();
  const int64_t grain = kElementwiseGrain / columns + 1;
  ParallelFor(list.count(), grain, [&](int64_t begin, int64_t end) {
    list.ForEntries(begin, end, [&](int64_t entry, int64_t row) {
      float* to = y + entry * columns;
      if (row < 0) {
        std::fill(to, to + columns, 0.0f);
      } else {
        copy(row, to);
      }
    });
  });
}

absl::Status GatherRows(const KernelContext& context) {
  const float* weight = context.inputs[0].as<float>();
  const int64_t columns = context.inputs[0].shape()[1];
  Gather(context, [&](int64_t row, float* to) {
    std::memcpy(to, weight + row * columns, columns * sizeof(float));
  });
  return absl::OkStatus();
}

absl::Status GatherRowsLazily(const KernelContext& context) {
  const float* weight = context.inputs[0].as<float>();
  const float* momentum = context.inputs[2].as<float>();
  const int32_t* updated = context.inputs[3].as<int32_t>();
  const DecayHistory history(context.inputs[4], context.step);
  const int64_t columns = context.inputs[0].shape()[1];
  Gather(context, [&](int64_t row, float* to) {
    const Decay<float> decay = history.Since(updated[row]);
    const float* w = weight + row * columns;
    const float* m = momentum + row * columns;
    ForElements(0, columns, [&](auto v, int64_t i) {
      using V = decltype(v);
      const Decay<V> wide = {Broadcast<V>(decay.a), Broadcast<V>(decay.b),
                             Broadcast<V>(decay.c), Broadcast<V>(decay.d)};
      V value = Load<V>(w + i);
      V velocity = Load<V>(m + i);
      wide.Apply(&value, &velocity);
      Store<V>(to + i, value);
    });
  });
  return absl::OkStatus();
}

KernelDef Stateless(absl::Status (*run)(const KernelContext&)) {
  KernelDef def;
  def.create = [run](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(run);
  };
  return def;
}

}  // namespace

KernelDef GatherRowsCpuKernel() { return Stateless(GatherRows); }

KernelDef GatherRowsLazilyCpuKernel() { return Stateless(GatherRowsLazily); }

}  // namespace facet::ops
