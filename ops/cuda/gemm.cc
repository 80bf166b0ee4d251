#include "ops/cuda/gemm.h"

#include <cublas_v2.h>

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "ops/cuda/cublas_error.h"
#include "ops/cuda/cublas_operands.h"
#include "ops/status_macros.h"

namespace facet::ops {

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
  const CublasWorkspace aligned(call, workspace);
  RETURN_IF_CUBLAS_ERROR(
      cublasSetWorkspace(cublas, aligned.data, aligned.size_bytes));
  // cuBLAS is column-major and sees the transposes: c' = b' * a'.
  RETURN_IF_CUBLAS_ERROR(cublasGemmEx(
      cublas, CublasOperation(call.b), CublasOperation(call.a),
      static_cast<int>(call.n), static_cast<int>(call.m),
      static_cast<int>(call.k), &call.alpha, call.b.data,
      CublasType(call.b.dtype), static_cast<int>(call.b.stride), call.a.data,
      CublasType(call.a.dtype), static_cast<int>(call.a.stride), &call.beta,
      call.c.data, CublasType(call.c.dtype), static_cast<int>(call.c.stride),
      CublasComputeType(call), CUBLAS_GEMM_DEFAULT));
  return absl::OkStatus();
}

}  // namespace facet::ops
