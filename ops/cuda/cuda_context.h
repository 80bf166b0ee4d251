// CudaContext: what a CUDA kernel runs on: one stream of one device, and the
// libraries' handles for it.
#ifndef FACET_OPS_CUDA_CUDA_CONTEXT_H_
#define FACET_OPS_CUDA_CUDA_CONTEXT_H_

#include <cuda_runtime.h>

#include <memory>

#include "absl/status/statusor.h"

// Of the libraries; their headers are large.
struct cublasContext;
struct cudnnContext;

namespace facet::ops {

// Of most kernels.
inline constexpr int kBlockThreads = 256;

// Thread-compatible: used by one thread, the stream's.
class CudaContext {
 public:
  // Makes `device` current on the calling thread and a stream on it that waits
  // for no other. `urgent`: its kernels go first where both could run.
  static absl::StatusOr<std::unique_ptr<CudaContext>> Create(int device,
                                                             bool urgent);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  int device() const { return device_; }
  cudaStream_t stream() const { return stream_; }
  int num_multiprocessors() const { return num_multiprocessors_; }
  // 80 for compute capability 8.0.
  int compute_capability() const { return compute_capability_; }

  // The libraries' handles, which work on stream(). Made when first asked for:
  // ask when a kernel is made. cuBLAS needs a workspace before each call
  // (cublasSetWorkspace), or it allocates. Owned by this.
  absl::StatusOr<cublasContext*> cublas();
  absl::StatusOr<cudnnContext*> cudnn();

  // Blocks of kBlockThreads that a kernel with a grid-stride loop over `items`
  // starts: enough to fill the device, at least 1.
  int BlocksFor(int64_t items) const;

 private:
  CudaContext() = default;

  int device_ = 0;
  cudaStream_t stream_ = nullptr;
  int num_multiprocessors_ = 0;
  int compute_capability_ = 0;
  cublasContext* cublas_ = nullptr;
  cudnnContext* cudnn_ = nullptr;
};

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_CUDA_CONTEXT_H_
