// CPU kernels of grouped ops (grouped_op.h), by their formula (formulas.h).
// Every pass over an activation is bound by memory, so each kernel makes
// exactly one (channel_loops.h). Arithmetic is float32, sums over more than a
// block of values are double.
#ifndef FACET_OPS_BATCH_NORM_GROUPED_CPU_H_
#define FACET_OPS_BATCH_NORM_GROUPED_CPU_H_

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/batch_norm/groups.h"
#include "ops/channel_loops.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace grouped_cpu_internal {

// What a kernel knows before it runs.
struct Setup {
  ChannelGrid grid;
  std::vector<double> counts;  // By local group.
  double eps = 0;
  int64_t constants_bytes = 0;  // At the head of the workspace.
  int64_t partial_bytes = 0;    // After them.
};

template <typename Formula>
Setup MakeSetup(const KernelSpec& spec) {
  Groups groups =
      MakeGroups(spec.inputs[0], StatisticsSlice(spec, Formula::kInputs));
  Setup setup;
  setup.grid = ChannelGrid::Make(spec.inputs[0], groups.local_rows);
  setup.counts = std::move(groups.counts);
  if (spec.attributes.Has("eps")) setup.eps = spec.attributes.Float("eps");
  const int64_t constants =
      setup.grid.groups * Formula::kConstants * setup.grid.channels;
  setup.constants_bytes =
      (constants * static_cast<int64_t>(sizeof(float)) + 63) / 64 * 64;
  setup.partial_bytes = setup.grid.partial_sums(Formula::kSums) *
                        static_cast<int64_t>(sizeof(double));
  return setup;
}

// The operands of a channel: [G, C], or [C], the same for all groups.
template <int kFirst>
struct ChannelOperands {
  const KernelContext& context;
  int64_t group, channel, channels;

  float operator()(int i) const {
    const TensorView& view = context.inputs[kFirst + i];
    const int64_t row = view.shape().rank() == 2 ? group * channels : 0;
    return view.as<float>()[row + channel];
  }
};

// constants[group][constant][channel].
template <typename Formula>
void MakeConstants(const Setup& setup, const KernelContext& context,
                   float* constants) {
  constexpr int kConstants = Formula::kConstants;
  const int64_t channels = setup.grid.channels;
  ParallelFor(channels, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t group = 0; group < setup.grid.groups; ++group) {
      for (int64_t c = begin; c < end; ++c) {
        double values[kConstants + 1];
        Formula::MakeConstants(
            ChannelOperands<Formula::kInputs>{context, group, c, channels},
            setup.counts[group], setup.eps, values);
        for (int k = 0; k < kConstants; ++k) {
          constants[(group * kConstants + k) * channels + c] =
              static_cast<float>(values[k]);
        }
      }
    }
  });
}

// Everything is read before it is written: y may lie over any x.
template <typename Formula, typename T>
struct Step {
  std::array<const T*, Formula::kInputs> x;
  T* y;

  template <typename V>
  void operator()(int64_t i, const V* constants, V* sums) const {
    Apply(i, constants, sums, std::make_index_sequence<Formula::kInputs>());
  }
  template <typename V, size_t... kIndex>
  void Apply(int64_t i, const V* constants, V* sums,
             std::index_sequence<kIndex...>) const {
    const V result = Formula()(constants, sums, Load<V>(x[kIndex] + i)...);
    if constexpr (Formula::kStores) Store(y + i, result);
  }
};

template <typename Formula>
void Run(const Setup& setup, const KernelContext& context) {
  char* const workspace = static_cast<char*>(context.workspace);
  float* const constants = reinterpret_cast<float*>(workspace);
  if constexpr (Formula::kConstants > 0) {
    MakeConstants<Formula>(setup, context, constants);
  }
  constexpr int kFirstSum = Formula::kStores ? 1 : 0;
  VisitFloating(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    Step<Formula, T> step = {};
    for (int i = 0; i < Formula::kInputs; ++i) {
      step.x[i] = context.inputs[i].as<T>();
    }
    if constexpr (Formula::kStores) step.y = context.outputs[0].as<T>();
    ReduceChannels<Formula::kConstants, Formula::kSums>(
        setup.grid, constants,
        reinterpret_cast<double*>(workspace + setup.constants_bytes), step,
        [&](int64_t group, int which, int64_t channel, double sum) {
          context.outputs[kFirstSum + which]
              .as<float>()[group * setup.grid.channels + channel] =
              static_cast<float>(sum);
        });
  });
}

}  // namespace grouped_cpu_internal

template <typename Formula>
KernelDef GroupedCpuKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    const auto setup = grouped_cpu_internal::MakeSetup<Formula>(spec);
    return setup.constants_bytes + setup.partial_bytes;
  };
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    auto setup = std::make_shared<const grouped_cpu_internal::Setup>(
        grouped_cpu_internal::MakeSetup<Formula>(spec));
    return Kernel([setup](const KernelContext& context) {
      grouped_cpu_internal::Run<Formula>(*setup, context);
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_GROUPED_CPU_H_
