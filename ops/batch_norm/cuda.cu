// A group of the batch after the other (a device nearly always has one). The
// statistics are folded into a few constants per channel first, so that the
// passes over activations (channels.h) are bound by memory: each reads its
// operands, and writes its result, once.
#include <memory>
#include <vector>

#include "ops/batch_norm/groups.h"
#include "ops/batch_norm/moments.h"
#include "ops/cuda/channels.h"
#include "ops/cuda/cuda_context.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

using ChannelInputs = DeviceSpans<const float, 5>;  // Each [C], of a group.

struct Setup {
  std::vector<ChannelWalk> walks;  // By local group.
  std::vector<double> counts;
  double eps = 0;
  int64_t constants = 0;  // Floats at the head of the workspace.
  int64_t partial = 0;    // Doubles after them.
};

int64_t ConstantsBytes(const Setup& setup) {
  return (setup.constants * static_cast<int64_t>(sizeof(float)) + 63) / 64 * 64;
}

DeviceSpan<float> Constants(const Setup& setup, const KernelContext& context) {
  return {static_cast<float*>(context.workspace), setup.constants};
}

DeviceSpan<double> Partial(const Setup& setup, const KernelContext& context) {
  return {reinterpret_cast<double*>(static_cast<char*>(context.workspace) +
                                    ConstantsBytes(setup)),
          setup.partial};
}

// What the group has of an activation, and of a [G, C] operand.
template <typename T>
DeviceSpan<T> RowsOf(const Setup& setup, size_t group, const TensorView& view) {
  int64_t first = 0;
  for (size_t g = 0; g < group; ++g) first += setup.walks[g].num_elements();
  return DeviceSpan<T>(view).Part(first, setup.walks[group].num_elements());
}

template <typename T>
DeviceSpan<T> StatisticsOf(size_t group, const TensorView& view) {
  const int64_t channels = view.shape()[1];
  return DeviceSpan<T>(view).Part(group * channels, channels);
}

// Make fills the constants of one channel.
template <typename Make>
__global__ void ConstantsKernel(Make make, ChannelInputs inputs,
                                int64_t channels, DeviceSpan<float> constants) {
  for (int64_t c = GridThread(); c < channels; c += GridThreads()) {
    double values[Make::kConstants];
    make(inputs, c, values);
    for (int k = 0; k < Make::kConstants; ++k) {
      constants.Store(k * channels + c, static_cast<float>(values[k]));
    }
  }
}

// Of the context's inputs, which are [G, C] if grouped and [C] if shared.
template <typename Make>
absl::Status MakeConstants(const Setup& setup, const KernelContext& context,
                           size_t group, const Make& make,
                           const std::vector<int>& grouped,
                           const std::vector<int>& shared) {
  ChannelInputs inputs;
  for (int i : grouped) {
    inputs.span[inputs.count++] =
        StatisticsOf<const float>(group, context.inputs[i]);
  }
  for (int i : shared) {
    inputs.span[inputs.count++] = DeviceSpan<const float>(context.inputs[i]);
  }
  const int64_t channels = setup.walks[group].channels;
  return Launch(ConstantsKernel<Make>,
                {dim3(context.cuda->BlocksFor(channels))},
                context.cuda->stream(), make, inputs, channels,
                Constants(setup, context));
}

// inputs: sum, square sum, scale, bias.
struct TrainingConstants {
  static constexpr int kConstants = 3;
  double count, eps;
  __device__ void operator()(const ChannelInputs& inputs, int64_t c,
                             double* values) const {
    const Moments moments =
        MomentsOf(inputs.span[0].Load(c), inputs.span[1].Load(c), count);
    values[0] = moments.mean;
    values[1] = inputs.span[2].Load(c) * InverseStddev(moments.variance, eps);
    values[2] = inputs.span[3].Load(c);
  }
};

// inputs: mean, variance, scale, bias.
struct InferenceConstants {
  static constexpr int kConstants = 3;
  double eps;
  __device__ void operator()(const ChannelInputs& inputs, int64_t c,
                             double* values) const {
    values[0] = inputs.span[0].Load(c);
    values[1] =
        inputs.span[2].Load(c) * InverseStddev(inputs.span[1].Load(c), eps);
    values[2] = inputs.span[3].Load(c);
  }
};

// inputs: sum, square sum.
struct GradStatisticsConstants {
  static constexpr int kConstants = 2;
  double count, eps;
  __device__ void operator()(const ChannelInputs& inputs, int64_t c,
                             double* values) const {
    const Moments moments =
        MomentsOf(inputs.span[0].Load(c), inputs.span[1].Load(c), count);
    values[0] = moments.mean;
    values[1] = InverseStddev(moments.variance, eps);
  }
};

// inputs: sum, square sum, bias_grad, scale_grad, scale.
struct GradInputConstants {
  static constexpr int kConstants = 4;
  double count, eps;
  __device__ void operator()(const ChannelInputs& inputs, int64_t c,
                             double* values) const {
    const Moments moments =
        MomentsOf(inputs.span[0].Load(c), inputs.span[1].Load(c), count);
    const double r = InverseStddev(moments.variance, eps);
    const double factor = inputs.span[4].Load(c) * r;
    values[0] = moments.mean;
    values[1] = factor;
    values[2] = factor * r * inputs.span[3].Load(c) / count;
    values[3] = factor * inputs.span[2].Load(c) / count;
  }
};

struct StatisticsStep {
  static constexpr int kConstants = 0, kSums = 2;
  FACET_HOST_DEVICE float operator()(const float*, float* sums, float x) const {
    sums[0] += x;
    sums[1] += x * x;
    return 0;
  }
};

struct NormaliseStep {
  static constexpr int kConstants = 3, kSums = 0;
  FACET_HOST_DEVICE float operator()(const float* constants, float*,
                                     float x) const {
    return NormaliseValue(x, constants);
  }
};

struct GradStatisticsStep {
  static constexpr int kConstants = 2, kSums = 2;
  FACET_HOST_DEVICE float operator()(const float* constants, float* sums,
                                     float dy, float x) const {
    sums[0] += dy;
    sums[1] += dy * ((x - constants[0]) * constants[1]);
    return 0;
  }
};

struct GradInputStep {
  static constexpr int kConstants = 4, kSums = 0;
  FACET_HOST_DEVICE float operator()(const float* constants, float*, float dy,
                                     float x) const {
    return NormaliseGradient(dy, x, constants);
  }
};

DeviceSpans<float, 2> SumsOf(size_t group, const KernelContext& context) {
  DeviceSpans<float, 2> sums;
  for (; sums.count < 2; ++sums.count) {
    sums.span[sums.count] =
        StatisticsOf<float>(group, context.outputs[sums.count]);
  }
  return sums;
}

absl::Status Statistics(const Setup& setup, const KernelContext& context,
                        size_t group) {
  return VisitElement(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    return SumChannels(*context.cuda, setup.walks[group], StatisticsStep(),
                       DeviceSpan<const float>(), Partial(setup, context),
                       SumsOf(group, context),
                       RowsOf<const T>(setup, group, context.inputs[0]));
  });
}

absl::Status Normalise(const Setup& setup, const KernelContext& context,
                       size_t group) {
  return VisitElement(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    return MapChannels(*context.cuda, setup.walks[group], NormaliseStep(),
                       DeviceSpan<const float>(Constants(setup, context)),
                       RowsOf<T>(setup, group, context.outputs[0]),
                       RowsOf<const T>(setup, group, context.inputs[0]));
  });
}

absl::Status BatchNorm(const Setup& setup, const KernelContext& context,
                       size_t group) {
  const TrainingConstants make = {setup.counts[group], setup.eps};
  RETURN_IF_ERROR(MakeConstants(setup, context, group, make, {1, 2}, {3, 4}));
  return Normalise(setup, context, group);
}

absl::Status Inference(const Setup& setup, const KernelContext& context,
                       size_t group) {
  const InferenceConstants make = {setup.eps};
  RETURN_IF_ERROR(MakeConstants(setup, context, group, make, {1, 2}, {3, 4}));
  return Normalise(setup, context, group);
}

absl::Status GradStatistics(const Setup& setup, const KernelContext& context,
                            size_t group) {
  const GradStatisticsConstants make = {setup.counts[group], setup.eps};
  RETURN_IF_ERROR(MakeConstants(setup, context, group, make, {2, 3}, {}));
  return VisitElement(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    return SumChannels(*context.cuda, setup.walks[group], GradStatisticsStep(),
                       DeviceSpan<const float>(Constants(setup, context)),
                       Partial(setup, context), SumsOf(group, context),
                       RowsOf<const T>(setup, group, context.inputs[0]),
                       RowsOf<const T>(setup, group, context.inputs[1]));
  });
}

absl::Status GradInput(const Setup& setup, const KernelContext& context,
                       size_t group) {
  const GradInputConstants make = {setup.counts[group], setup.eps};
  RETURN_IF_ERROR(
      MakeConstants(setup, context, group, make, {2, 3, 5, 6}, {4}));
  return VisitElement(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    return MapChannels(*context.cuda, setup.walks[group], GradInputStep(),
                       DeviceSpan<const float>(Constants(setup, context)),
                       RowsOf<T>(setup, group, context.outputs[0]),
                       RowsOf<const T>(setup, group, context.inputs[0]),
                       RowsOf<const T>(setup, group, context.inputs[1]));
  });
}

// An op's operands: where x is, and which share has the groups' statistics.
struct Operands {
  int x;
  int statistics;  // Input; -1: output 0.
  int num_constants, num_sums;
};

Setup MakeSetup(const KernelSpec& spec, const Operands& operands) {
  const TensorSlice& x = spec.inputs[operands.x];
  const Groups groups =
      MakeGroups(x, operands.statistics < 0 ? spec.outputs[0]
                                            : spec.inputs[operands.statistics]);
  Setup setup;
  setup.counts = groups.counts;
  if (spec.attributes.Has("eps")) setup.eps = spec.attributes.Float("eps");
  setup.constants = operands.num_constants * x.shape[1];
  for (const Range& rows : groups.local_rows) {
    setup.walks.push_back(ChannelWalk::Make(x, rows.size()));
    setup.partial = std::max(
        setup.partial, setup.walks.back().partial_sums(operands.num_sums));
  }
  return setup;
}

using RunGroup = absl::Status (*)(const Setup& setup,
                                  const KernelContext& context, size_t group);

KernelDef ByGroup(const Operands& operands, RunGroup run) {
  KernelDef def;
  def.workspace_bytes =
      [operands](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    const Setup setup = MakeSetup(spec, operands);
    return ConstantsBytes(setup) +
           setup.partial * static_cast<int64_t>(sizeof(double));
  };
  def.create = [operands,
                run](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    auto setup = std::make_shared<const Setup>(MakeSetup(spec, operands));
    return Kernel([setup, run](const KernelContext& context) -> absl::Status {
      for (size_t group = 0; group < setup->walks.size(); ++group) {
        RETURN_IF_ERROR(run(*setup, context, group));
      }
      return absl::OkStatus();
    });
  };
  return def;
}

// Reads four values per channel and writes two.
__global__ void UpdateKernel(double count, double momentum,
                             DeviceSpan<float> mean, DeviceSpan<float> variance,
                             DeviceSpan<const float> sum,
                             DeviceSpan<const float> square_sum) {
  for (int64_t c = GridThread(); c < mean.size(); c += GridThreads()) {
    float m = mean.Load(c), v = variance.Load(c);
    UpdateRunning(MomentsOf(sum.Load(c), square_sum.Load(c), count), count,
                  momentum, &m, &v);
    mean.Store(c, m);
    variance.Store(c, v);
  }
}

absl::Status Update(const KernelContext& context, double momentum,
                    const std::vector<double>& counts) {
  for (size_t group = 0; group < counts.size(); ++group) {
    const DeviceSpan<float> mean =
        StatisticsOf<float>(group, context.inputs[0]);
    RETURN_IF_ERROR(
        Launch(UpdateKernel, {dim3(context.cuda->BlocksFor(mean.size()))},
               context.cuda->stream(), counts[group], momentum, mean,
               StatisticsOf<float>(group, context.inputs[1]),
               StatisticsOf<const float>(group, context.inputs[2]),
               StatisticsOf<const float>(group, context.inputs[3])));
  }
  return absl::OkStatus();
}

}  // namespace

KernelDef BatchNormStatisticsCudaKernel() {
  return ByGroup({0, -1, 0, 2}, Statistics);
}
KernelDef BatchNormCudaKernel() { return ByGroup({0, 1, 3, 0}, BatchNorm); }
KernelDef BatchNormGradStatisticsCudaKernel() {
  return ByGroup({1, 2, 2, 2}, GradStatistics);
}
KernelDef BatchNormGradInputCudaKernel() {
  return ByGroup({1, 2, 4, 0}, GradInput);
}
KernelDef BatchNormInferenceCudaKernel() {
  return ByGroup({0, 1, 3, 0}, Inference);
}

KernelDef BatchNormUpdateCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const double momentum = spec.attributes.Float("momentum");
    return Kernel(
        [momentum, counts = UpdateCounts(spec)](const KernelContext& context) {
          return Update(context, momentum, counts);
        });
  };
  return def;
}

}  // namespace facet::ops
