#include <algorithm>

#include "ops/cuda/block_shares.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/slice_index.h"
#include "ops/kernel.h"
#include "ops/random.h"
#include "ops/sgd_update/device_sgd.h"
#include "ops/sgd_update/device_state.h"
#include "ops/sgd_update/rounding_stream.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/status_macros.h"
#include "ops/stochastic_rounding.h"

namespace facet::ops {
namespace {

// Of a part, what a block updates: four vectors per thread.
constexpr int kWidth = kVectorWidth<float>;
constexpr int64_t kBlockVectors = 4 * kBlockThreads;

// Reads weight, velocity and gradient and writes the first two: 20 bytes and 7
// operations per weight.
__global__ void __launch_bounds__(kBlockThreads)
    SgdKernel(SgdStep step, DeviceSgdScalars scalars, BlockShares shares,
              DeviceSpans<float, kMostParts> weights,
              DeviceSpans<float, kMostParts> velocities,
              DeviceSpans<const float, kMostParts> gradients) {
  if (!SgdOfThisRun(scalars, &step)) return;
  const BlockShares::Share share = shares.OfThisBlock();
  const DeviceSpan<float> weight = weights.span[share.part];
  const DeviceSpan<float> velocity = velocities.span[share.part];
  const DeviceSpan<const float> gradient = gradients.span[share.part];
  const int64_t vectors = weight.size() / kWidth;
  const int64_t first = share.block * kBlockVectors;
  const int64_t end =
      first + kBlockVectors < vectors ? first + kBlockVectors : vectors;
  for (int64_t v = first + threadIdx.x; v < end; v += kBlockThreads) {
    const int64_t i = v * kWidth;
    Vector<float, kWidth> w = weight.LoadVector<kWidth>(i);
    Vector<float, kWidth> m = velocity.LoadVector<kWidth>(i);
    const Vector<float, kWidth> g = gradient.LoadVector<kWidth>(i);
    for (int k = 0; k < kWidth; ++k) {
      step(&w.element[k], &m.element[k], g.element[k]);
    }
    weight.StoreVector<kWidth>(i, w);
    velocity.StoreVector<kWidth>(i, m);
  }
  // The last few, fewer than a vector.
  const int64_t i = vectors * kWidth + threadIdx.x;
  if (share.block + 1 < share.blocks || i >= weight.size()) return;
  float w = weight.Load(i), m = velocity.Load(i);
  step(&w, &m, gradient.Load(i));
  weight.Store(i, w);
  velocity.Store(i, m);
}

// With a weight or a momentum of 16 bits: 2 bytes less to read and to write for
// each, and a random word per element.
template <typename W, typename M>
__global__ void __launch_bounds__(kBlockThreads)
    RoundedSgdKernel(SgdStep step, DeviceSgdScalars scalars,
                     RandomStream rounding, SliceIndex index,
                     DeviceSpan<W> weight, DeviceSpan<M> velocity,
                     DeviceSpan<const float> gradient) {
  if (!SgdOfThisRun(scalars, &step)) return;
  for (int64_t i = GridThread(); i < weight.size(); i += GridThreads()) {
    float w = weight.LoadFloat(i), m = velocity.LoadFloat(i);
    step(&w, &m, gradient.Load(i));
    const uint32_t word = RoundingWord(rounding, index.Global(i));
    weight.Store(i, RoundedTo<W>(w, RandomOfWeight(word)));
    velocity.Store(i, RoundedTo<M>(m, RandomOfMomentum(word)));
  }
}

bool SameScalars(const DeviceSgdScalars& a, const DeviceSgdScalars& b) {
  if (a.count != b.count) return false;
  for (int i = 0; i < a.count; ++i) {
    if (a.span[i].data() != b.span[i].data()) return false;
  }
  return true;
}

template <typename W, typename M>
absl::Status UpdateRounded(const KernelContext& context, const SgdStep& step,
                           int64_t key) {
  const TensorView& weight = context.inputs[0];
  return Launch(RoundedSgdKernel<W, M>,
                {dim3(context.cuda->BlocksFor(weight.slice.num_elements()))},
                context.cuda->stream(), step, SgdScalarsOf(context, 3),
                RoundingStream(context, key), SliceIndex(weight.slice),
                DeviceSpan<W>(weight), DeviceSpan<M>(context.inputs[1]),
                DeviceSpan<const float>(context.inputs[2]));
}

// As many parts per launch as it can take, of those with the same scalars.
absl::Status Update(absl::Span<const KernelContext> parts,
                    const SgdStep& step) {
  size_t next = 0;
  while (next < parts.size()) {
    const DeviceSgdScalars scalars = SgdScalarsOf(parts[next], 3);
    const cudaStream_t stream = parts[next].cuda->stream();
    BlockShares shares;
    DeviceSpans<float, kMostParts> weights, velocities;
    DeviceSpans<const float, kMostParts> gradients;
    for (; next < parts.size() && !shares.full(); ++next) {
      const KernelContext& part = parts[next];
      if (!SameScalars(SgdScalarsOf(part, 3), scalars)) break;
      const DeviceSpan<float> weight(part.inputs[0]);
      if (weight.size() == 0) continue;
      const int64_t vectors = weight.size() / kWidth;
      shares.Add(
          std::max<int64_t>(1, (vectors + kBlockVectors - 1) / kBlockVectors));
      weights.Add(weight);
      velocities.Add(DeviceSpan<float>(part.inputs[1]));
      gradients.Add(DeviceSpan<const float>(part.inputs[2]));
    }
    if (shares.empty()) continue;
    RETURN_IF_ERROR(Launch(SgdKernel, shares.shape(), stream, step, scalars,
                           shares, weights, velocities, gradients));
  }
  return absl::OkStatus();
}

bool IsRounded(const KernelSpec& spec) {
  return spec.inputs[0].dtype == DataType::kBFloat16 ||
         spec.inputs[1].dtype == DataType::kBFloat16;
}

absl::StatusOr<Kernel> CreateRounded(const KernelSpec& spec) {
  return Kernel([sgd = AccumulatingSgdOf(spec.attributes),
                 key = spec.attributes.Int("key")](
                    const KernelContext& context) -> absl::Status {
    if (context.inputs[0].slice.num_elements() == 0) return absl::OkStatus();
    const SgdStep step = sgd.At(context.step);
    const bool half_weight = context.inputs[0].dtype() == DataType::kBFloat16;
    const bool half_velocity = context.inputs[1].dtype() == DataType::kBFloat16;
    if (half_weight && half_velocity) {
      return UpdateRounded<BHalf, BHalf>(context, step, key);
    }
    return half_weight ? UpdateRounded<BHalf, float>(context, step, key)
                       : UpdateRounded<float, BHalf>(context, step, key);
  });
}

}  // namespace

KernelDef SgdUpdateCudaKernel() {
  KernelDef def;
  def.depends_on_step = SgdDependsOnStep;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    if (IsRounded(spec)) return CreateRounded(spec);
    return Kernel([sgd = AccumulatingSgdOf(spec.attributes)](
                      const KernelContext& context) {
      return Update(absl::MakeConstSpan(&context, 1), sgd.At(context.step));
    });
  };
  def.create_group =
      [](absl::Span<const KernelSpec> specs) -> absl::StatusOr<GroupKernel> {
    KernelDef alone;
    alone.create = CreateRounded;
    if (IsRounded(specs[0])) return CreateGroupKernel(alone, specs);
    return GroupKernel([sgd = AccumulatingSgdOf(specs[0].attributes)](
                           absl::Span<const KernelContext> parts) {
      return Update(parts, sgd.At(parts[0].step));
    });
  };
  return def;
}

}  // namespace facet::ops
