// The part of cuBLAS that Facet calls, on the host: products of matrices.
// Column-major, scalars on the host. Values of enumerators are cuBLAS's.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_CUBLAS_V2_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_CUBLAS_V2_H_

#include <cstddef>

#include "cuda_runtime.h"
#include "library_types.h"

struct cublasContext;
using cublasHandle_t = cublasContext*;

enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_EXECUTION_FAILED = 13,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
};

enum cublasOperation_t {
  CUBLAS_OP_N = 0,
  CUBLAS_OP_T = 1,
};

enum cublasComputeType_t {
  CUBLAS_COMPUTE_32F = 68,
  CUBLAS_COMPUTE_32F_PEDANTIC = 69,
  CUBLAS_COMPUTE_32F_FAST_TF32 = 77,
};

enum cublasMath_t {
  CUBLAS_DEFAULT_MATH = 0,
  CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION = 16,
};

enum cublasGemmAlgo_t {
  CUBLAS_GEMM_DEFAULT = -1,
};

cublasStatus_t cublasCreate(cublasHandle_t* handle);
cublasStatus_t cublasDestroy(cublasHandle_t handle);
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream);
// Emulated, sums are double in any mode.
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode);
// Used by all later products; without one cuBLAS allocates. Spoiled here.
cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace,
                                  size_t size_bytes);
// C = alpha op(A) op(B) + beta C; op(A) [m, k], op(B) [k, n]. float32 alpha and
// beta; A and B of one type, C of that or float32. C is not read if beta is 0.
// FAST_TF32 rounds what is float32 to TF32.
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a,
                            cublasOperation_t op_b, int m, int n, int k,
                            const void* alpha, const void* a,
                            cudaDataType_t a_type, int lda, const void* b,
                            cudaDataType_t b_type, int ldb, const void* beta,
                            void* c, cudaDataType_t c_type, int ldc,
                            cublasComputeType_t compute,
                            cublasGemmAlgo_t algorithm);
const char* cublasGetStatusString(cublasStatus_t status);

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_CUBLAS_V2_H_
