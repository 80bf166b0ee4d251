// CPU kernels of batch normalisation. Every pass over an activation is bound
// by memory, so each kernel makes exactly one (channel_loops.h): it folds the
// statistics into a few constants per channel first. Arithmetic is float32,
// sums over more than a block of values are double.

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/batch_norm/groups.h"
#include "ops/batch_norm/moments.h"
#include "ops/channel_loops.h"
#include "ops/float8.h"
#include "ops/graph/shard.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

// What a kernel knows before it runs.
struct Setup {
  ChannelGrid grid;
  std::vector<double> counts;  // By local group.
  double eps = 0;
  int64_t constants_bytes = 0;  // At the head of the workspace.
  int64_t partial_bytes = 0;    // After them.
};

Setup MakeSetup(const KernelSpec& spec, int x_input,
                const TensorSlice& statistics, int num_constants,
                int num_sums) {
  const TensorSlice& x = spec.inputs[x_input];
  Groups groups = MakeGroups(x, statistics);
  Setup setup;
  setup.grid = ChannelGrid::Make(x, groups.local_rows);
  setup.counts = std::move(groups.counts);
  if (spec.attributes.Has("eps")) setup.eps = spec.attributes.Float("eps");
  const int64_t floats =
      setup.grid.groups * num_constants * setup.grid.channels;
  setup.constants_bytes = (floats * sizeof(float) + 63) / 64 * 64;
  setup.partial_bytes =
      setup.grid.partial_sums(num_sums) * static_cast<int64_t>(sizeof(double));
  return setup;
}

float* Constants(const KernelContext& context) {
  return static_cast<float*>(context.workspace);
}

double* Partial(const Setup& setup, const KernelContext& context) {
  return reinterpret_cast<double*>(static_cast<char*>(context.workspace) +
                                   setup.constants_bytes);
}

// Fills constants[group][constant][channel]: make(group, channel) returns them.
template <typename Make>
void FillConstants(const Setup& setup, float* constants, const Make& make) {
  const int64_t channels = setup.grid.channels;
  ParallelFor(channels, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t group = 0; group < setup.grid.groups; ++group) {
      for (int64_t c = begin; c < end; ++c) {
        const auto values = make(group, c);
        for (size_t k = 0; k < values.size(); ++k) {
          constants[(group * values.size() + k) * channels + c] =
              static_cast<float>(values[k]);
        }
      }
    }
  });
}

using SetupFunction = Setup (*)(const KernelSpec& spec);
using RunFunction = void (*)(const Setup& setup, const KernelContext& context);

KernelDef MakeDef(SetupFunction setup, RunFunction run) {
  KernelDef def;
  def.workspace_bytes = [setup](const KernelSpec& spec) {
    const Setup made = setup(spec);
    return absl::StatusOr<int64_t>(made.constants_bytes + made.partial_bytes);
  };
  def.create = [setup, run](const KernelSpec& spec) {
    auto made = std::make_shared<const Setup>(setup(spec));
    return absl::StatusOr<Kernel>([made, run](const KernelContext& context) {
      run(*made, context);
      return absl::OkStatus();
    });
  };
  return def;
}

template <typename T>
struct StatisticsStep {
  const T* x;
  template <typename V>
  void operator()(int64_t i, const V*, V* sums) const {
    const V value = Load<V>(x + i);
    sums[0] += value;
    sums[1] += value * value;
  }
};

void RunStatistics(const Setup& setup, const KernelContext& context) {
  float* outputs[] = {context.outputs[0].as<float>(),
                      context.outputs[1].as<float>()};
  const int64_t channels = setup.grid.channels;
  VisitFloating(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    ReduceChannels<0, 2>(
        setup.grid, nullptr, Partial(setup, context),
        StatisticsStep<T>{context.inputs[0].as<T>()},
        [&](int64_t group, int which, int64_t channel, double sum) {
          outputs[which][group * channels + channel] = static_cast<float>(sum);
        });
  });
}

template <typename T>
struct NormaliseStep {
  const T* x;
  T* y;
  template <typename V>
  void operator()(int64_t i, const V* constants, V*) const {
    Store(y + i, NormaliseValue(Load<V>(x + i), constants));
  }
};

void Normalise(const Setup& setup, const KernelContext& context) {
  VisitFloating(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    MapChannels<3>(setup.grid, Constants(context),
                   NormaliseStep<T>{context.inputs[0].as<T>(),
                                    context.outputs[0].as<T>()});
  });
}

void RunBatchNorm(const Setup& setup, const KernelContext& context) {
  const float* sum = context.inputs[1].as<float>();
  const float* square_sum = context.inputs[2].as<float>();
  const float* scale = context.inputs[3].as<float>();
  const float* bias = context.inputs[4].as<float>();
  FillConstants(setup, Constants(context), [&](int64_t group, int64_t channel) {
    const int64_t i = group * setup.grid.channels + channel;
    const Moments moments =
        MomentsOf(sum[i], square_sum[i], setup.counts[group]);
    return std::array<double, 3>{
        moments.mean,
        scale[channel] * InverseStddev(moments.variance, setup.eps),
        bias[channel]};
  });
  Normalise(setup, context);
}

void RunInference(const Setup& setup, const KernelContext& context) {
  const float* mean = context.inputs[1].as<float>();
  const float* variance = context.inputs[2].as<float>();
  const float* scale = context.inputs[3].as<float>();
  const float* bias = context.inputs[4].as<float>();
  FillConstants(setup, Constants(context), [&](int64_t, int64_t channel) {
    return std::array<double, 3>{
        mean[channel],
        scale[channel] * InverseStddev(variance[channel], setup.eps),
        bias[channel]};
  });
  Normalise(setup, context);
}

template <typename T>
struct GradStatisticsStep {
  const T* dy;
  const T* x;
  template <typename V>
  void operator()(int64_t i, const V* constants, V* sums) const {
    const V gradient = Load<V>(dy + i);
    sums[0] += gradient;
    sums[1] += gradient * (Load<V>(x + i) - constants[0]);
  }
};

// constants: mean, 1 / sqrt(var + eps); the latter is applied to the sum.
void RunGradStatistics(const Setup& setup, const KernelContext& context) {
  const float* sum = context.inputs[2].as<float>();
  const float* square_sum = context.inputs[3].as<float>();
  float* bias_grad = context.outputs[0].as<float>();
  float* scale_grad = context.outputs[1].as<float>();
  const int64_t channels = setup.grid.channels;
  auto moments = [&](int64_t i, int64_t group) {
    return MomentsOf(sum[i], square_sum[i], setup.counts[group]);
  };
  FillConstants(setup, Constants(context), [&](int64_t group, int64_t channel) {
    return std::array<double, 1>{
        moments(group * channels + channel, group).mean};
  });
  VisitFloating(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    ReduceChannels<1, 2>(
        setup.grid, Constants(context), Partial(setup, context),
        GradStatisticsStep<T>{context.inputs[0].as<T>(),
                              context.inputs[1].as<T>()},
        [&](int64_t group, int which, int64_t channel, double total) {
          const int64_t i = group * channels + channel;
          if (which == 0) {
            bias_grad[i] = static_cast<float>(total);
          } else {
            scale_grad[i] = static_cast<float>(
                total * InverseStddev(moments(i, group).variance, setup.eps));
          }
        });
  });
}

template <typename T>
struct GradInputStep {
  const T* dy;
  const T* x;
  T* dx;
  template <typename V>
  void operator()(int64_t i, const V* constants, V*) const {
    Store(dx + i,
          NormaliseGradient(Load<V>(dy + i), Load<V>(x + i), constants));
  }
};

// dx = scale * r * (dy - bias_grad / n - xhat * scale_grad / n) where
// r = 1 / sqrt(var + eps) and xhat = (x - mean) * r.
void RunGradInput(const Setup& setup, const KernelContext& context) {
  const float* sum = context.inputs[2].as<float>();
  const float* square_sum = context.inputs[3].as<float>();
  const float* scale = context.inputs[4].as<float>();
  const float* bias_grad = context.inputs[5].as<float>();
  const float* scale_grad = context.inputs[6].as<float>();
  FillConstants(setup, Constants(context), [&](int64_t group, int64_t channel) {
    const int64_t i = group * setup.grid.channels + channel;
    const double n = setup.counts[group];
    const Moments moments = MomentsOf(sum[i], square_sum[i], n);
    const double r = InverseStddev(moments.variance, setup.eps);
    const double factor = scale[channel] * r;
    return std::array<double, 4>{moments.mean, factor,
                                 factor * r * scale_grad[i] / n,
                                 factor * bias_grad[i] / n};
  });
  VisitFloating(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    MapChannels<4>(
        setup.grid, Constants(context),
        GradInputStep<T>{context.inputs[0].as<T>(), context.inputs[1].as<T>(),
                         context.outputs[0].as<T>()});
  });
}

absl::StatusOr<Kernel> CreateUpdate(const KernelSpec& spec) {
  const double momentum = spec.attributes.Float("momentum");
  const std::vector<double> counts = UpdateCounts(spec);
  return Kernel([momentum, counts](const KernelContext& context) {
    float* running_mean = context.inputs[0].as<float>();
    float* running_var = context.inputs[1].as<float>();
    const float* sum = context.inputs[2].as<float>();
    const float* square_sum = context.inputs[3].as<float>();
    const int64_t channels = context.inputs[0].shape()[1];
    for (size_t group = 0; group < counts.size(); ++group) {
      const double n = counts[group];
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t i = static_cast<int64_t>(group) * channels + c;
        const Moments moments = MomentsOf(sum[i], square_sum[i], n);
        UpdateRunning(moments, n, momentum, &running_mean[i], &running_var[i]);
      }
    }
    return absl::OkStatus();
  });
}

}  // namespace

KernelDef BatchNormStatisticsCpuKernel() {
  return MakeDef(
      [](const KernelSpec& spec) {
        return MakeSetup(spec, 0, spec.outputs[0], 0, 2);
      },
      RunStatistics);
}

KernelDef BatchNormCpuKernel() {
  return MakeDef(
      [](const KernelSpec& spec) {
        return MakeSetup(spec, 0, spec.inputs[1], 3, 0);
      },
      RunBatchNorm);
}

KernelDef BatchNormGradStatisticsCpuKernel() {
  return MakeDef(
      [](const KernelSpec& spec) {
        return MakeSetup(spec, 1, spec.inputs[2], 1, 2);
      },
      RunGradStatistics);
}

KernelDef BatchNormGradInputCpuKernel() {
  return MakeDef(
      [](const KernelSpec& spec) {
        return MakeSetup(spec, 1, spec.inputs[2], 4, 0);
      },
      RunGradInput);
}

KernelDef BatchNormUpdateCpuKernel() {
  KernelDef def;
  def.create = CreateUpdate;
  return def;
}

KernelDef BatchNormInferenceCpuKernel() {
  return MakeDef(
      [](const KernelSpec& spec) {
        return MakeSetup(spec, 0, spec.inputs[1], 3, 0);
      },
      RunInference);
}

}  // namespace facet::ops
