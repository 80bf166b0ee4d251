#include "ops/conv2d_statistics/in_sequence.h"

#include <algorithm>
#include <utility>

#include "ops/status_macros.h"

namespace facet::ops {
namespace {

KernelSpec ConvolutionOf(const KernelSpec& spec) {
  KernelSpec part = spec;
  part.outputs.resize(1);
  return part;
}

KernelSpec StatisticsOf(const KernelSpec& spec) {
  KernelSpec part = spec;
  part.inputs = {spec.outputs[0]};
  part.outputs.erase(part.outputs.begin());
  return part;
}

}  // namespace

KernelDef InSequence(KernelDef convolution, KernelDef statistics) {
  KernelDef def;
  def.workspace_bytes = [convolution, statistics](
                            const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    ASSIGN_OR_RETURN(const int64_t first,
                     convolution.workspace_bytes(ConvolutionOf(spec)));
    ASSIGN_OR_RETURN(const int64_t second,
                     statistics.workspace_bytes(StatisticsOf(spec)));
    return std::max(first, second);
  };
  def.create = [convolution,
                statistics](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    ASSIGN_OR_RETURN(const Kernel first,
                     convolution.create(ConvolutionOf(spec)));
    ASSIGN_OR_RETURN(const Kernel second,
                     statistics.create(StatisticsOf(spec)));
    return Kernel([first, second](const KernelContext& context) {
      KernelContext part = context;
      part.outputs = context.outputs.subspan(0, 1);
      RETURN_IF_ERROR(first(part));
      part.inputs = context.outputs.subspan(0, 1);
      part.outputs = context.outputs.subspan(1);
      return second(part);
    });
  };
  // Sums of what was rounded.
  def.rounds_to_inputs = true;
  return def;
}

}  // namespace facet::ops
