#include "ops/cuda/cuda_context.h"

#include <algorithm>

#include "ops/cuda/cublas_error.h"
#include "ops/cuda/cuda_error.h"
#include "ops/cuda/cudnn_error.h"
#include "ops/status_macros.h"

namespace facet::ops {

absl::StatusOr<std::unique_ptr<CudaContext>> CudaContext::Create(int device,
                                                                 bool urgent) {
  RETURN_IF_CUDA_ERROR(cudaSetDevice(device));
  std::unique_ptr<CudaContext> context(new CudaContext);
  context->device_ = device;
  cudaDeviceProp properties;
  RETURN_IF_CUDA_ERROR(cudaGetDeviceProperties(&properties, device));
  context->num_multiprocessors_ = properties.multiProcessorCount;
  context->compute_capability_ = 10 * properties.major + properties.minor;
  int least = 0, greatest = 0;
  RETURN_IF_CUDA_ERROR(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  RETURN_IF_CUDA_ERROR(cudaStreamCreateWithPriority(
      &context->stream_, cudaStreamNonBlocking, urgent ? greatest : least));
  return context;
}

CudaContext::~CudaContext() {
  // Errors have been reported by what caused them.
  if (cublas_ != nullptr) (void)cublasDestroy(cublas_);
  if (cudnn_ != nullptr) (void)cudnnDestroy(cudnn_);
  if (stream_ != nullptr) (void)cudaStreamDestroy(stream_);
}

absl::StatusOr<cublasContext*> CudaContext::cublas() {
  if (cublas_ == nullptr) {
    RETURN_IF_CUBLAS_ERROR(cublasCreate(&cublas_));
    RETURN_IF_CUBLAS_ERROR(cublasSetStream(cublas_, stream_));
    // 16-bit products, too, are summed in float32 where cuBLAS splits the sum.
    RETURN_IF_CUBLAS_ERROR(cublasSetMathMode(
        cublas_, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION));
  }
  return cublas_;
}

absl::StatusOr<cudnnContext*> CudaContext::cudnn() {
  if (cudnn_ == nullptr) {
    RETURN_IF_CUDNN_ERROR(cudnnCreate(&cudnn_));
    RETURN_IF_CUDNN_ERROR(cudnnSetStream(cudnn_, stream_));
  }
  return cudnn_;
}

int CudaContext::BlocksFor(int64_t items) const {
  constexpr int64_t kBlocksPerMultiprocessor = 8;
  const int64_t blocks = (items + kBlockThreads - 1) / kBlockThreads;
  return static_cast<int>(std::max<int64_t>(
      1, std::min(blocks, kBlocksPerMultiprocessor * num_multiprocessors_)));
}

}  // namespace facet::ops
