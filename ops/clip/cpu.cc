#include <cmath>

#include "ops/clip/clip_factor.h"
#include "ops/float8.h"
#include "ops/half.h"
#include "ops/kernel.h"
#include "ops/parallel.h"

namespace facet::ops {
namespace {

// Summed one by one, then added in order: the same for any number of threads.
constexpr int64_t kBlock = 16384;

int64_t NumBlocks(int64_t n) { return (n + kBlock - 1) / kBlock; }

// In double: squares of large floats do not overflow.
template <typename T>
double BlockSum(const T* x, int64_t begin, int64_t end) {
  using Double4 = double __attribute__((vector_size(32)));
  Double4 low = {}, high = {};
  int64_t i = begin;
  for (; i + 8 <= end; i += 8) {
    const Float8 value = Load<Float8>(x + i);
    const Double4 a = _mm256_cvtps_pd(_mm256_castps256_ps128(value));
    const Double4 b = _mm256_cvtps_pd(_mm256_extractf128_ps(value, 1));
    low += a * a;
    high += b * b;
  }
  double sum = 0;
  for (int lane = 0; lane < 4; ++lane) sum += low[lane] + high[lane];
  for (; i < end; ++i) {
    const double value = Load<float>(x + i);
    sum += value * value;
  }
  return sum;
}

absl::Status SquareNorm(const KernelContext& context) {
  const TensorView& x = context.inputs[0];
  const int64_t n = x.slice.num_elements();
  double* sums = static_cast<double*>(context.workspace);
  VisitFloating(x.dtype(), [&](auto zero) {
    const auto* data = x.as<decltype(zero)>();
    ParallelFor(NumBlocks(n), 2, [&](int64_t first, int64_t last) {
      for (int64_t block = first; block < last; ++block) {
        sums[block] =
            BlockSum(data, block * kBlock, std::min(n, (block + 1) * kBlock));
      }
    });
  });
  double total = 0;
  for (int64_t block = 0; block < NumBlocks(n); ++block) total += sums[block];
  *context.outputs[0].as<float>() = static_cast<float>(total);
  return absl::OkStatus();
}

}  // namespace

KernelDef SquareNormCpuKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    return NumBlocks(spec.inputs[0].num_elements()) *
           static_cast<int64_t>(sizeof(double));
  };
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(SquareNorm);
  };
  return def;
}

KernelDef ClipFactorCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const float max_norm =
        static_cast<float>(spec.attributes.Float("max_norm"));
    return Kernel([max_norm](const KernelContext& context) {
      const float loss_scale =
          context.inputs.size() > 1 ? *context.inputs[1].as<float>() : 1.0f;
      *context.outputs[0].as<float>() =
          ClipFactor(*context.inputs[0].as<float>(), loss_scale, max_norm);
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
