// How cuBLAS and cuBLASLt are told of a product's operands.
#ifndef FACET_OPS_CUDA_CUBLAS_OPERANDS_H_
#define FACET_OPS_CUDA_CUBLAS_OPERANDS_H_

#include <cublas_v2.h>

#include <cstdint>
#include <string>

#include "glog/logging.h"
#include "ops/cuda/gemm.h"

namespace facet::ops {

inline cudaDataType_t CublasType(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat16:
      return CUDA_R_16F;
    case DataType::kBFloat16:
      return CUDA_R_16BF;
    default:
      CHECK(dtype == DataType::kFloat32)
          << std::string(DataTypeName(dtype)) << " is not floating";
      return CUDA_R_32F;
  }
}

inline cublasOperation_t CublasOperation(const GemmOperand& operand) {
  return operand.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
}

// 16 bits are no more than TF32's: nothing to round.
inline cublasComputeType_t CublasComputeType(const GemmCall& call) {
  const bool rounds = call.may_round && call.a.dtype == DataType::kFloat32 &&
                      call.b.dtype == DataType::kFloat32;
  return rounds ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

// Of a product's workspace, what both libraries want aligned to 256 bytes.
struct CublasWorkspace {
  void* data = nullptr;
  int64_t size_bytes = 0;

  CublasWorkspace(const GemmCall& call, void* workspace) {
    constexpr uintptr_t kAlignment = 256;
    const uintptr_t address = reinterpret_cast<uintptr_t>(workspace);
    const uintptr_t padding = (kAlignment - address % kAlignment) % kAlignment;
    data = static_cast<char*>(workspace) + padding;
    size_bytes =
        GemmWorkspaceBytes(call.m, call.n) - static_cast<int64_t>(kAlignment);
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_CUBLAS_OPERANDS_H_
