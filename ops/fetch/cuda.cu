// The kernel waits for the device: it runs on the host stream, whose thread is
// there to hand values to the caller.
#include <memory>
#include <utility>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/cuda_error.h"
#include "ops/cuda/pinned_buffer.h"
#include "ops/fetch_sink.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// What `context` fetches, on the host.
absl::StatusOr<TensorView> CopyToHost(const KernelContext& context,
                                      const PinnedBuffer& buffer) {
  const TensorView& x = context.inputs[0];
  const cudaStream_t stream = context.cuda->stream();
  if (x.slice.size_bytes() > 0) {
    RETURN_IF_CUDA_ERROR(cudaMemcpyAsync(buffer.data(), x.data,
                                         x.slice.size_bytes(),
                                         cudaMemcpyDeviceToHost, stream));
    RETURN_IF_CUDA_ERROR(cudaStreamSynchronize(stream));
  }
  return TensorView{x.slice, buffer.data()};
}

}  // namespace

KernelDef FetchCudaKernel() {
  KernelDef def;
  def.depends_on_step = AlwaysDependsOnStep;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const TensorSlice& slice = spec.inputs[0];
    ASSIGN_OR_RETURN(std::unique_ptr<PinnedBuffer> created,
                     PinnedBuffer::Create(slice.size_bytes()));
    std::shared_ptr<const PinnedBuffer> buffer = std::move(created);
    // Every rank has the whole: one report is enough.
    const bool is_copy = spec.rank != 0 && slice.shape == slice.global_shape;
    return Kernel([buffer, is_copy, name = spec.attributes.String("name"),
                   rank = spec.rank](
                      const KernelContext& context) -> absl::Status {
      // Without a sink nobody listens, which is no error.
      if (is_copy || context.fetch_sink == nullptr) return absl::OkStatus();
      ASSIGN_OR_RETURN(const TensorView value, CopyToHost(context, *buffer));
      return context.fetch_sink->OnFetch(context.step, name, rank, value);
    });
  };
  return def;
}

}  // namespace facet::ops
