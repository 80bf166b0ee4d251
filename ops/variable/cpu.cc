#include <type_traits>

#include "ops/fill/fill_constant.h"
#include "ops/half.h"
#include "ops/kernel.h"
#include "ops/parallel.h"
#include "ops/random_batch.h"
#include "ops/slice_runs.h"
#include "ops/variable/initial_values.h"

namespace facet::ops {
namespace {

// fill(first, floats): the values of an aligned batch of elements.
template <typename T, typename Fill>
void FillRandom(const TensorView& tensor, const Fill& fill) {
  auto batch = [&](int64_t first, T* out) {
    if constexpr (std::is_same_v<T, float>) {
      fill(first, out);
    } else {
      float values[kRandomBatch];
      fill(first, values);
      for (int i = 0; i < kRandomBatch; ++i) out[i] = static_cast<T>(values[i]);
    }
  };
  ParallelFor(tensor.slice.num_elements(), 4096,
              [&](int64_t begin, int64_t end) {
                ForEachRun(tensor.slice, begin, end,
                           [&](int64_t local, int64_t global, int64_t count) {
                             ForRandomBatches(global, count, batch,
                                              tensor.as<T>() + local);
                           });
              });
}

}  // namespace

KernelDef VariableCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const Attributes& attributes = spec.attributes;
    if (attributes.String("init") == "constant") {
      return Kernel(
          [value = attributes.Float("value")](const KernelContext& context) {
            FillConstant(context.outputs[0], value);
            return absl::OkStatus();
          });
    }
    const uint32_t key = static_cast<uint32_t>(attributes.Int("key"));
    const bool normal = attributes.String("init") == "normal";
    const float mean = static_cast<float>(attributes.Float("mean"));
    const float stddev = static_cast<float>(attributes.Float("stddev"));
    const float bound = static_cast<float>(attributes.Float("bound"));
    return Kernel([=](const KernelContext& context) {
      const TensorView& value = context.outputs[0];
      const RandomStream stream = {static_cast<uint64_t>(context.seed), key,
                                   kBeforeTheFirstStep};
      VisitFloating(value.dtype(), [&](auto zero) {
        FillRandom<decltype(zero)>(value, [&](int64_t first, float* out) {
          if (normal) {
            FillNormalBatch(stream, first, mean, stddev, out);
          } else {
            FillUniformBatch(stream, first, -bound, 2 * bound, out);
          }
        });
      });
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
