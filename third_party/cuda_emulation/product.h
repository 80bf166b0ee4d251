// Products of matrices, emulated: plain loops, sums in double. What cuBLAS and
// cuBLASLt have in common.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_PRODUCT_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_PRODUCT_H_

#include <cstdint>

#include "cublas_v2.h"
#include "cuda_runtime.h"

namespace cuda_emulation {

// C = alpha op(A) op(B) + beta C + bias; column-major, op(A) [m, k],
// op(B) [k, n], bias [m] in every column. C is not read if beta is 0.
struct Product {
  struct Matrix {
    const void* data = nullptr;
    cudaDataType_t type = CUDA_R_32F;
    int64_t ld = 0;
    bool transposed = false;  // C is not.
  };
  const char* name = "";  // Of the call, for messages.
  int64_t m = 0, n = 0, k = 0;
  Matrix a, b, c;
  float alpha = 1, beta = 0;
  const void* bias = nullptr;  // Of C's type; null: none.
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  void* workspace = nullptr;  // Spoiled.
  int64_t workspace_bytes = 0;
};

// INVALID_VALUE if the sizes do not fit, NOT_SUPPORTED for types that do not
// go together; else what enqueuing it gives.
cublasStatus_t EnqueueProduct(const Product& product, cudaStream_t stream);

}  // namespace cuda_emulation

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_PRODUCT_H_
