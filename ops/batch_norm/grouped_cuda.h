// CUDA kernels of grouped ops (grouped_op.h), by their formula (formulas.h). A
// group of the batch after the other (a device nearly always has one). The
// constants per channel are made first, so that the pass over activations
// (channels.h) is bound by memory: it reads its operands, and writes its
// result, once.
#ifndef FACET_OPS_BATCH_NORM_GROUPED_CUDA_H_
#define FACET_OPS_BATCH_NORM_GROUPED_CUDA_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "ops/batch_norm/groups.h"
#include "ops/cuda/channels.h"
#include "ops/cuda/cuda_context.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {

// What the group has of a [G, C] operand.
template <typename T>
DeviceSpan<T> StatisticsOf(size_t group, const TensorView& view) {
  const int64_t channels = view.shape()[1];
  return DeviceSpan<T>(view).Part(group * channels, channels);
}

namespace grouped_cuda_internal {

using ChannelInputs = DeviceSpans<const float, 8>;  // Each [C], of a group.

struct Setup {
  std::vector<ChannelWalk> walks;  // By local group.
  std::vector<double> counts;
  double eps = 0;
  int64_t constants = 0;  // Floats at the head of the workspace.
  int64_t partial = 0;    // Doubles after them.

  int64_t constants_bytes() const {
    return (constants * static_cast<int64_t>(sizeof(float)) + 63) / 64 * 64;
  }
  int64_t workspace_bytes() const {
    return constants_bytes() + partial * static_cast<int64_t>(sizeof(double));
  }
  // What the group has of an activation.
  template <typename T>
  DeviceSpan<T> RowsOf(size_t group, const TensorView& view) const {
    int64_t first = 0;
    for (size_t g = 0; g < group; ++g) first += walks[g].num_elements();
    return DeviceSpan<T>(view).Part(first, walks[group].num_elements());
  }
};

template <typename Formula>
Setup MakeSetup(const KernelSpec& spec) {
  const TensorSlice& x = spec.inputs[0];
  const Groups groups = MakeGroups(x, StatisticsSlice(spec, Formula::kInputs));
  Setup setup;
  setup.counts = groups.counts;
  if (spec.attributes.Has("eps")) setup.eps = spec.attributes.Float("eps");
  setup.constants = Formula::kConstants * x.shape[1];
  for (const Range& rows : groups.local_rows) {
    setup.walks.push_back(ChannelWalk::Make(x, rows.size()));
    setup.partial = std::max(setup.partial,
                             setup.walks.back().partial_sums(Formula::kSums));
  }
  return setup;
}

// Those of one channel.
struct ChannelOperands {
  const ChannelInputs& inputs;
  int64_t channel;
  __device__ float operator()(int i) const {
    return inputs.span[i].Load(channel);
  }
};

template <typename Formula>
__global__ void ConstantsKernel(ChannelInputs inputs, int64_t channels,
                                double count, double eps,
                                DeviceSpan<float> constants) {
  for (int64_t c = GridThread(); c < channels; c += GridThreads()) {
    double values[Formula::kConstants];
    Formula::MakeConstants(ChannelOperands{inputs, c}, count, eps, values);
    for (int k = 0; k < Formula::kConstants; ++k) {
      constants.Store(k * channels + c, static_cast<float>(values[k]));
    }
  }
}

template <typename Formula>
absl::Status MakeConstants(const Setup& setup, const KernelContext& context,
                           size_t group, DeviceSpan<float> constants) {
  ChannelInputs inputs;
  for (size_t i = Formula::kInputs; i < context.inputs.size(); ++i) {
    const TensorView& view = context.inputs[i];
    inputs.span[inputs.count++] = view.shape().rank() == 2
                                      ? StatisticsOf<const float>(group, view)
                                      : DeviceSpan<const float>(view);
  }
  const int64_t channels = setup.walks[group].channels;
  return Launch(ConstantsKernel<Formula>,
                {dim3(context.cuda->BlocksFor(channels))},
                context.cuda->stream(), inputs, channels, setup.counts[group],
                setup.eps, constants);
}

template <typename Formula>
DeviceSpans<float, Formula::kSums> SumsOf(size_t group,
                                          const KernelContext& context) {
  DeviceSpans<float, Formula::kSums> sums;
  const int first = Formula::kStores ? 1 : 0;
  for (; sums.count < Formula::kSums; ++sums.count) {
    sums.span[sums.count] =
        StatisticsOf<float>(group, context.outputs[first + sums.count]);
  }
  return sums;
}

// The formula on these activations.
template <typename Formula, typename T, typename... X>
absl::Status RunPass(const Setup& setup, const KernelContext& context,
                     size_t group, DeviceSpan<const float> constants,
                     DeviceSpan<double> partial, const X&... x) {
  const ChannelWalk& walk = setup.walks[group];
  if constexpr (!Formula::kStores) {
    return SumChannels(*context.cuda, walk, Formula(), constants, partial,
                       SumsOf<Formula>(group, context), x...);
  } else {
    const DeviceSpan<T> y = setup.RowsOf<T>(group, context.outputs[0]);
    if constexpr (Formula::kSums > 0) {
      return MapAndSumChannels(*context.cuda, walk, Formula(), constants,
                               partial, SumsOf<Formula>(group, context), y,
                               x...);
    } else {
      return MapChannels(*context.cuda, walk, Formula(), constants, y, x...);
    }
  }
}

template <typename Formula, size_t... kIndex>
absl::Status RunGroup(const Setup& setup, const KernelContext& context,
                      size_t group, std::index_sequence<kIndex...>) {
  char* const workspace = static_cast<char*>(context.workspace);
  const DeviceSpan<float> constants(reinterpret_cast<float*>(workspace),
                                    setup.constants);
  const DeviceSpan<double> partial(
      reinterpret_cast<double*>(workspace + setup.constants_bytes()),
      setup.partial);
  if constexpr (Formula::kConstants > 0) {
    RETURN_IF_ERROR(MakeConstants<Formula>(setup, context, group, constants));
  }
  return VisitElement(context.inputs[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    return RunPass<Formula, T>(
        setup, context, group, DeviceSpan<const float>(constants), partial,
        setup.RowsOf<const T>(group, context.inputs[kIndex])...);
  });
}

}  // namespace grouped_cuda_internal

template <typename Formula>
KernelDef GroupedCudaKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    return grouped_cuda_internal::MakeSetup<Formula>(spec).workspace_bytes();
  };
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    auto setup = std::make_shared<const grouped_cuda_internal::Setup>(
        grouped_cuda_internal::MakeSetup<Formula>(spec));
    return Kernel([setup](const KernelContext& context) -> absl::Status {
      for (size_t group = 0; group < setup->walks.size(); ++group) {
        RETURN_IF_ERROR(grouped_cuda_internal::RunGroup<Formula>(
            *setup, context, group,
            std::make_index_sequence<Formula::kInputs>()));
      }
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_GROUPED_CUDA_H_
