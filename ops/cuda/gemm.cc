#include "ops/cuda/gemm.h"

#include <cublas_v2.h>

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/cuda/cublas_error.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

cudaDataType_t CublasType(DataType dtype) {
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

cublasOperation_t Operation(const GemmOperand& operand) {
  return operand.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
}

absl::Status SetWorkspace(cublasContext* cublas, void* workspace,
                          int64_t size_bytes) {
  constexpr uintptr_t kAlignment = 256;
  const uintptr_t address = reinterpret_cast<uintptr_t>(workspace);
  const uintptr_t padding = (kAlignment - address % kAlignment) % kAlignment;
  RETURN_IF_CUBLAS_ERROR(
      cublasSetWorkspace(cublas, static_cast<char*>(workspace) + padding,
                         size_bytes - kAlignment));
  return absl::OkStatus();
}

}  // namespace

absl::Status Gemm(cublasContext* cublas, const GemmCall& call,
                  void* workspace) {
  if (call.m == 0 || call.n == 0) return absl::OkStatus();
  const int64_t largest = std::max(
      {call.m, call.n, call.k, call.a.stride, call.b.stride, call.c.stride});
  if (largest > std::numeric_limits<int>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a product of matrices with a dimension of ", largest,
        "; cuBLAS takes at most ", std::numeric_limits<int>::max()));
  }
  RETURN_IF_ERROR(
      SetWorkspace(cublas, workspace, GemmWorkspaceBytes(call.m, call.n)));
  // 16 bits are no more than TF32's: nothing to round.
  const bool rounds = call.may_round && call.a.dtype == DataType::kFloat32 &&
                      call.b.dtype == DataType::kFloat32;
  // cuBLAS is column-major and sees the transposes: c' = b' * a'.
  RETURN_IF_CUBLAS_ERROR(cublasGemmEx(
      cublas, Operation(call.b), Operation(call.a), static_cast<int>(call.n),
      static_cast<int>(call.m), static_cast<int>(call.k), &call.alpha,
      call.b.data, CublasType(call.b.dtype), static_cast<int>(call.b.stride),
      call.a.data, CublasType(call.a.dtype), static_cast<int>(call.a.stride),
      &call.beta, call.c.data, CublasType(call.c.dtype),
      static_cast<int>(call.c.stride),
      rounds ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
      CUBLAS_GEMM_DEFAULT));
  return absl::OkStatus();
}

}  // namespace facet::ops
