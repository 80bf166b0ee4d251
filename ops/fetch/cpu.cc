#include "ops/fetch_sink.h"
#include "ops/kernel.h"

namespace facet::ops {

KernelDef FetchCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const TensorSlice& slice = spec.inputs[0];
    // Every rank has the whole: one report is enough.
    const bool is_copy = spec.rank != 0 && slice.shape == slice.global_shape;
    return Kernel([name = spec.attributes.String("name"), rank = spec.rank,
                   is_copy](const KernelContext& context) {
      // Without a sink nobody listens, which is no error.
      if (is_copy || context.fetch_sink == nullptr) return absl::OkStatus();
      return context.fetch_sink->OnFetch(context.step, name, rank,
                                         context.inputs[0]);
    });
  };
  return def;
}

}  // namespace facet::ops
