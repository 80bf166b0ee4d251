#include <immintrin.h>

#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/parallel_status.h"
#include "ops/row_list_view.h"
#include "ops/sgd_update/stored_state.h"
#include "ops/sgd_update_rows/decay_history_view.h"
#include "ops/status_macros.h"
#include "ops/visit_stored.h"

namespace facet::ops {
namespace {

// Writes past the caches what is read only when the caches have long lost it:
// that saves reading what is overwritten.
class RowWriter {
 public:
  explicit RowWriter(const TensorView& y)
      : y_(y.as<float>()),
        columns_(y.shape()[1]),
        streams_(y.slice.size_bytes() >= kLarge &&
                 columns_ % kLanes<Float8> == 0) {}

  // Row `row` becomes value(V{}, i) for its elements [i, i + lanes of V).
  template <typename Value>
  void Write(int64_t row, const Value& value) const {
    float* to = y_ + row * columns_;
    if (streams_) {
      for (int64_t i = 0; i < columns_; i += kLanes<Float8>) {
        _mm256_stream_ps(to + i, value(Float8{}, i));
      }
      return;
    }
    ForElements(0, columns_, [&](auto v, int64_t i) {
      Store<decltype(v)>(to + i, value(v, i));
    });
  }

 private:
  static constexpr int64_t kLarge = 32 << 20;
  float* const y_;
  const int64_t columns_;
  const bool streams_;
};

// Calls write(row, entry, writer), which returns a Status, for every listed
// row, in parallel, after prefetch(row); zeros for padding.
template <typename Prefetch, typename Write>
absl::Status Gather(const KernelContext& context, const Prefetch& prefetch,
                    const Write& write) {
  const TensorView& weight = context.inputs[0];
  const RowListView list(context.inputs[1], weight.slice);
  const RowWriter writer(context.outputs[0]);
  auto one = [&](int64_t entry, int64_t row) -> absl::Status {
    if (row >= 0) return write(row, entry, writer);
    writer.Write(entry, [](auto v, int64_t) { return v; });
    return absl::OkStatus();
  };
  return ParallelForStatus(
      list.count(), kElementwiseGrain / weight.shape()[1] + 1,
      [&](int64_t begin, int64_t end) {
        absl::Status status = list.ForEntries(begin, end, prefetch, one);
        _mm_sfence();  // Streamed rows are seen by whoever is told of them.
        return status;
      });
}

template <typename W>
absl::Status GatherRows(const KernelContext& context) {
  const W* weight = context.inputs[0].as<W>();
  const int64_t columns = context.inputs[0].shape()[1];
  auto prefetch = [&](int64_t row) {
    PrefetchRow(weight + row * columns, columns);
  };
  return Gather(context, prefetch,
                [&](int64_t row, int64_t entry, const RowWriter& writer) {
                  const W* from = weight + row * columns;
                  writer.Write(entry, [from](auto v, int64_t i) {
                    return Load<decltype(v)>(from + i);
                  });
                  return absl::OkStatus();
                });
}

template <typename W, typename M>
absl::Status GatherRowsLazily(const KernelContext& context) {
  const W* weight = context.inputs[0].as<W>();
  const M* momentum = context.inputs[2].as<M>();
  const int32_t* updated = context.inputs[3].as<int32_t>();
  const DecayHistoryView history(context.inputs[4], context.step);
  const int64_t columns = context.inputs[0].shape()[1];
  auto prefetch = [&](int64_t row) {
    PrefetchRow(weight + row * columns, columns);
    PrefetchRow(momentum + row * columns, columns);
  };
  return Gather(
      context, prefetch,
      [&](int64_t row, int64_t entry, const RowWriter& writer) -> absl::Status {
        ASSIGN_OR_RETURN(const Decay<float> decay, history.Since(updated[row]));
        const W* w = weight + row * columns;
        const M* m = momentum + row * columns;
        writer.Write(entry, [&](auto v, int64_t i) {
          using V = decltype(v);
          V value = Load<V>(w + i);
          V velocity = Load<V>(m + i);
          Widen<V>(decay).Apply(&value, &velocity);
          return value;
        });
        return absl::OkStatus();
      });
}

KernelDef Stateless(absl::Status (*run)(const KernelContext&)) {
  KernelDef def;
  def.create = [run](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(run);
  };
  return def;
}

}  // namespace

KernelDef GatherRowsCpuKernel() {
  return Stateless([](const KernelContext& context) {
    return VisitStored(context.inputs[0].dtype(), [&](auto w) {
      return GatherRows<decltype(w)>(context);
    });
  });
}

KernelDef GatherRowsLazilyCpuKernel() {
  return Stateless([](const KernelContext& context) {
    return VisitState(
        context.inputs[0], context.inputs[2], [&](auto w, auto m) {
          return GatherRowsLazily<decltype(w), decltype(m)>(context);
        });
  });
}

}  // namespace facet::ops
