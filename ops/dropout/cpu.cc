#include <algorithm>
#include <cmath>

#include "ops/elementwise.h"
#include "ops/half.h"
#include "ops/kernel.h"
#include "ops/random_batch.h"
#include "ops/slice_runs.h"

namespace facet::ops {
namespace {

// An element is kept if its random word is at least this.
uint32_t Threshold(double rate) {
  return static_cast<uint32_t>(
      std::min(std::round(std::ldexp(rate, 32)), std::ldexp(1.0, 32) - 1));
}

// y[i] = x[i] * factor of logical element `global` + i.
template <typename T>
void Drop(const T* x, const RandomStream& stream, int64_t global, int64_t count,
          uint32_t threshold, float scale, T* y) {
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
    for (int64_t i = 0; i < n; ++i) {
      factors[i] = words[i] >= threshold ? scale : 0.0f;
    }
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
    const double rate = spec.attributes.Float("rate");
    const uint32_t key = static_cast<uint32_t>(spec.attributes.Int("key"));
    const uint32_t threshold = Threshold(rate);
    const float scale = static_cast<float>(1 / (1 - rate));
    return Kernel([=](const KernelContext& context) {
      const TensorView& x = context.inputs[0];
      const TensorView& y = context.outputs[0];
      const RandomStream stream = {static_cast<uint64_t>(context.seed), key,
                                   static_cast<uint32_t>(context.step)};
      VisitFloating(x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        ParallelFor(
            x.slice.num_elements(), 4096, [&](int64_t begin, int64_t end) {
              ForEachRun(x.slice, begin, end,
                         [&](int64_t local, int64_t global, int64_t count) {
                           Drop(x.as<T>() + local, stream, global, count,
                                threshold, scale, y.as<T>() + local);
                         });
            });
      });
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
