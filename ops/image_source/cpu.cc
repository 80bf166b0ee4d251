#include "ops/data_source.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

absl::Status Run(const KernelContext& context) {
  if (context.data_source == nullptr) {
    return absl::FailedPreconditionError(
        "image_source: the graph reads images, but the session was given no "
        "data source");
  }
  const TensorView& images = context.outputs[0];
  const TensorView& labels = context.outputs[1];
  const int64_t begin = labels.slice.offset[0];
  return context.data_source->Read(context.step, begin,
                                   begin + labels.shape()[0],
                                   images.as<float>(), labels.as<int32_t>());
}

}  // namespace

KernelDef ImageSourceCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec&) -> absl::StatusOr<Kernel> { return Run; };
  return def;
}

}  // namespace facet::ops
