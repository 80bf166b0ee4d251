#include <algorithm>

#include "ops/dropout/mask.h"
#include "ops/elementwise.h"
#include "ops/half.h"
#include "ops/kernel.h"
#include "ops/random_batch.h"
#include "ops/slice_runs.h"

namespace facet::ops {
namespace {

// y[i] = x[i] * factor of logical element `global` + i.
template <typename T>
void Drop(const T* x, const DropoutMask& mask, const RandomStream& stream,
          int64_t global, int64_t count, T* y) {
  constexpr int64_t kChunk = 4 * kRandomBatch;
  auto batch = [&](int64_t first, uint32_t* out) {
    FillRandomBatch(stream, first, out);
  };
  while (count > 0) {
    // Up to the next multiple of a chunk, so that most batches are whole.
    const int64_t n = std::min(kChunk - global % kChunk, count);
    uint32_t words[kChunk];
    ForRandomBatches(global, n, batch, words);
    float factors[kChunk];
    for (int64_t i = 0; i < n; ++i) factors[i] = mask.Factor(words[i]);
    ForElements(0, n, [&](auto v, int64_t i) {
      using V = decltype(v);
      Store<V>(y + i, Load<V>(x + i) * Load<V>(factors + i));
    });
    x += n;
    y += n;
    global += n;
    count -= n;
  }
}

}  // namespace

KernelDef DropoutCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel(
        [mask = DropoutMask(spec.attributes)](const KernelContext& context) {
          const TensorView& x = context.inputs[0];
          const TensorView& y = context.outputs[0];
          const RandomStream stream = mask.StreamOf(context);
          VisitFloating(x.dtype(), [&](auto zero) {
            using T = decltype(zero);
            ParallelFor(
                x.slice.num_elements(), 4096, [&](int64_t begin, int64_t end) {
                  ForEachRun(x.slice, begin, end,
                             [&](int64_t local, int64_t global, int64_t count) {
                               Drop(x.as<T>() + local, mask, stream, global,
                                    count, y.as<T>() + local);
                             });
                });
          });
          return absl::OkStatus();
        });
  };
  return def;
}

}  // namespace facet::ops
