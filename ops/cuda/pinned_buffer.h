// PinnedBuffer: memory of the host that the device copies from and to while the
// host goes on.
#ifndef FACET_OPS_CUDA_PINNED_BUFFER_H_
#define FACET_OPS_CUDA_PINNED_BUFFER_H_

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "ops/cuda/cuda_error.h"
#include "ops/status_macros.h"

namespace facet::ops {

// Thread-compatible. The owner waits for copies before it lets go.
class PinnedBuffer {
 public:
  // ResourceExhausted if the host has no memory left. 0 bytes are no error.
  static absl::StatusOr<std::unique_ptr<PinnedBuffer>> Create(
      int64_t size_bytes) {
    std::unique_ptr<PinnedBuffer> buffer(new PinnedBuffer);
    if (size_bytes > 0) {
      RETURN_IF_CUDA_ERROR(cudaMallocHost(&buffer->data_, size_bytes));
    }
    return buffer;
  }
  ~PinnedBuffer() { (void)cudaFreeHost(data_); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;

  void* data() const { return data_; }

 private:
  PinnedBuffer() = default;
  void* data_ = nullptr;
};

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_PINNED_BUFFER_H_
