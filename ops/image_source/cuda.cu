// The data source writes into pinned memory, from where the device copies. The
// kernel waits for the copies, as the next batch is read into the same memory:
// it runs on the data stream, whose thread is there to be ahead of the others.
#include <cstdint>
#include <memory>
#include <utility>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/cuda_error.h"
#include "ops/cuda/pinned_buffer.h"
#include "ops/image_source/read_images.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status CopyToDevice(const PinnedBuffer& buffer, const TensorView& to,
                          cudaStream_t stream) {
  if (to.slice.size_bytes() == 0) return absl::OkStatus();
  RETURN_IF_CUDA_ERROR(cudaMemcpyAsync(to.data, buffer.data(),
                                       to.slice.size_bytes(),
                                       cudaMemcpyHostToDevice, stream));
  return absl::OkStatus();
}

absl::Status Read(const KernelContext& context, const PinnedBuffer& images,
                  const PinnedBuffer& labels) {
  RETURN_IF_ERROR(ReadImages(context, static_cast<float*>(images.data()),
                             static_cast<int32_t*>(labels.data())));
  const cudaStream_t stream = context.cuda->stream();
  RETURN_IF_ERROR(CopyToDevice(images, context.outputs[0], stream));
  RETURN_IF_ERROR(CopyToDevice(labels, context.outputs[1], stream));
  RETURN_IF_CUDA_ERROR(cudaStreamSynchronize(stream));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const PinnedBuffer>> BufferFor(
    const TensorSlice& slice) {
  ASSIGN_OR_RETURN(std::unique_ptr<PinnedBuffer> buffer,
                   PinnedBuffer::Create(slice.size_bytes()));
  return std::shared_ptr<const PinnedBuffer>(std::move(buffer));
}

}  // namespace

KernelDef ImageSourceCudaKernel() {
  KernelDef def;
  def.depends_on_step = AlwaysDependsOnStep;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    ASSIGN_OR_RETURN(const auto images, BufferFor(spec.outputs[0]));
    ASSIGN_OR_RETURN(const auto labels, BufferFor(spec.outputs[1]));
    return Kernel([images, labels](const KernelContext& context) {
      return Read(context, *images, *labels);
    });
  };
  return def;
}

}  // namespace facet::ops
