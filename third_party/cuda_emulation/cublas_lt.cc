// Emulated cuBLASLt.
#include <cublasLt.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "third_party/cuda_emulation/product.h"

struct cublasLtMatmulDescOpaque {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cublasOperation_t op_a = CUBLAS_OP_N, op_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};

struct cublasLtMatrixLayoutOpaque {
  cudaDataType_t type;
  int64_t rows, columns, ld;
};

struct cublasLtMatmulPreferenceOpaque {
  uint64_t max_workspace_bytes = 0;
  uint32_t reduction_schemes = ~uint32_t{0};
  uint32_t alignment[4] = {256, 256, 256, 256};  // A, B, C, D.
};

namespace {

// What an algorithm's opaque data says.
struct Algorithm {
  uint64_t workspace_bytes;
  bool rounds;  // float32 sums, on the way.
  uint32_t alignment[4];
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

constexpr uint64_t kWorkspaceBytes = 512;

template <typename T>
cublasStatus_t Set(const void* value, size_t size_bytes, T* to) {
  if (value == nullptr || size_bytes != sizeof(T)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(to, value, sizeof(T));
  return CUBLAS_STATUS_SUCCESS;
}

bool IsAligned(const void* data, uint64_t bytes) {
  return reinterpret_cast<uintptr_t>(data) % bytes == 0;
}

}  // namespace

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc,
                                        cublasComputeType_t compute,
                                        cudaDataType_t scale_type) {
  if (scale_type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *desc = new cublasLtMatmulDescOpaque;
  (*desc)->compute = compute;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(
    cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
    const void* value, size_t size_bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return Set(value, size_bytes, &desc->op_a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return Set(value, size_bytes, &desc->op_b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return Set(value, size_bytes, &desc->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return Set(value, size_bytes, &desc->bias);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout,
                                          cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque{type, static_cast<int64_t>(rows),
                                           static_cast<int64_t>(columns), ld};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(
    cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(
    cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t preference,
    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
    size_t size_bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return Set(value, size_bytes, &preference->max_workspace_bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return Set(value, size_bytes, &preference->reduction_schemes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return Set(value, size_bytes, &preference->alignment[0]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return Set(value, size_bytes, &preference->alignment[1]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return Set(value, size_bytes, &preference->alignment[2]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return Set(value, size_bytes, &preference->alignment[3]);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int requested,
    cublasLtMatmulHeuristicResult_t results[], int* count) {
  *count = 0;
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (requested < 1) return CUBLAS_STATUS_INVALID_VALUE;
  // As cuBLASLt does with what is empty.
  for (const cublasLtMatrixLayout_t layout : {a, b, d}) {
    if (layout->rows < 1 || layout->columns < 1) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  const bool may_round =
      (preference->reduction_schemes &
       ~uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE}) != 0;
  for (const uint64_t bytes : {kWorkspaceBytes, uint64_t{0}}) {
    if (bytes > preference->max_workspace_bytes || *count == requested)
      continue;
    cublasLtMatmulHeuristicResult_t& result = results[(*count)++];
    result = {};
    Algorithm algorithm = {};
    algorithm.workspace_bytes = bytes;
    algorithm.rounds = may_round;
    std::copy_n(preference->alignment, 4, algorithm.alignment);
    std::memcpy(&result.algo, &algorithm, sizeof(algorithm));
    result.workspaceSize = bytes;
    result.state = CUBLAS_STATUS_SUCCESS;
  }
  return *count > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmul(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha,
    const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
    cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
    cublasLtMatrixLayout_t, void* d, cublasLtMatrixLayout_t d_layout,
    const cublasLtMatmulAlgo_t* algorithm, void* workspace,
    size_t workspace_bytes, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (algorithm == nullptr || c != d) return CUBLAS_STATUS_NOT_SUPPORTED;
  Algorithm chosen;
  std::memcpy(&chosen, algorithm, sizeof(chosen));
  const void* const operands[4] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) {
    if (!IsAligned(operands[i], chosen.alignment[i])) {
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
  }
  if (workspace_bytes < chosen.workspace_bytes || !IsAligned(workspace, 256)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool has_bias = desc->epilogue == CUBLASLT_EPILOGUE_BIAS;
  cuda_emulation::Product product;
  product.name = "cublasLtMatmul";
  product.a = {a, a_layout->type, a_layout->ld, desc->op_a == CUBLAS_OP_T};
  product.b = {b, b_layout->type, b_layout->ld, desc->op_b == CUBLAS_OP_T};
  product.c = {d, d_layout->type, d_layout->ld};
  product.m = d_layout->rows;
  product.n = d_layout->columns;
  product.k = product.a.transposed ? a_layout->rows : a_layout->columns;
  const int64_t a_m = product.a.transposed ? a_layout->columns : a_layout->rows;
  const int64_t b_k = product.b.transposed ? b_layout->columns : b_layout->rows;
  const int64_t b_n = product.b.transposed ? b_layout->rows : b_layout->columns;
  if (a_m != product.m || b_k != product.k || b_n != product.n) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(&product.alpha, alpha, sizeof(float));
  std::memcpy(&product.beta, beta, sizeof(float));
  product.bias = has_bias ? desc->bias : nullptr;
  if (has_bias && desc->bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  product.compute = desc->compute;
  if (chosen.rounds && product.a.type == CUDA_R_32F) {
    product.compute = CUBLAS_COMPUTE_32F_FAST_TF32;
  }
  product.workspace = workspace;
  product.workspace_bytes = static_cast<int64_t>(chosen.workspace_bytes);
  return cuda_emulation::EnqueueProduct(product, stream);
}

size_t cublasLtGetVersion() { return 130000; }
