// Emulated cuBLAS: plain loops, sums in double.
#include <cublas_v2.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "third_party/cuda_emulation/elements.h"
#include "third_party/cuda_emulation/emulation.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
};

namespace {

using cuda_emulation::Access;
using cuda_emulation::LoadElement;
using cuda_emulation::SizeOf;
using cuda_emulation::StoreElement;

// Bytes from the first to the last element of a [rows, columns] matrix.
int64_t MatrixBytes(int64_t rows, int64_t columns, int64_t ld,
                    cudaDataType_t type) {
  if (rows == 0 || columns == 0) return 0;
  return ((columns - 1) * ld + rows) * SizeOf(type);
}

// A matrix in device memory, as floats [rows, columns], column-major.
std::vector<float> Read(const void* data, cudaDataType_t type, int64_t rows,
                        int64_t columns, int64_t ld) {
  std::vector<float> values(rows * columns);
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < rows; ++r) {
      values[c * rows + r] =
          LoadElement("cublasGemmEx", data, type, c * ld + r);
    }
  }
  return values;
}

// What a product leaves of its workspace. A large one is spoiled at its ends
// only, where something else may begin: all of it would take more time than
// most products of a test.
void Spoil(char* workspace, int64_t size_bytes) {
  const int64_t end = std::min<int64_t>(size_bytes, 64 << 10);
  char* const storage = cuda_emulation::Storage(workspace);
  std::memset(storage, 0xff, end);
  std::memset(storage + size_bytes - end, 0xff, end);
}

// Rounded to 11 significant bits, ties away from zero (cvt.rna.tf32).
float ToTf32(float value) {
  if (!std::isfinite(value)) return value;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits = (bits + 0x1000) & ~uint32_t{0x1fff};
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  // As cuBLAS does: back to a workspace of its own.
  *handle = cublasContext();
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t) {
  return handle == nullptr ? CUBLAS_STATUS_NOT_INITIALIZED
                           : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace,
                                  size_t size_bytes) {
  if (reinterpret_cast<uintptr_t>(workspace) % 256 != 0) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  handle->workspace = workspace;
  handle->workspace_bytes = size_bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a,
                            cublasOperation_t op_b, int m, int n, int k,
                            const void* alpha, const void* a,
                            cudaDataType_t a_type, int lda, const void* b,
                            cudaDataType_t b_type, int ldb, const void* beta,
                            void* c, cudaDataType_t c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const bool a_is_plain = op_a == CUBLAS_OP_N;
  const bool b_is_plain = op_b == CUBLAS_OP_N;
  const int64_t a_rows = a_is_plain ? m : k, a_columns = a_is_plain ? k : m;
  const int64_t b_rows = b_is_plain ? k : n, b_columns = b_is_plain ? n : k;
  if (m < 0 || n < 0 || k < 0 || lda < a_rows || lda < 1 || ldb < b_rows ||
      ldb < 1 || ldc < m || ldc < 1) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (a_type != b_type || (c_type != a_type && c_type != CUDA_R_32F)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (compute == CUBLAS_COMPUTE_32F_FAST_TF32 && a_type != CUDA_R_32F) {
    return CUBLAS_STATUS_NOT_SUPPORTED;  // Rounds float32, and nothing else.
  }
  float scale = 0, keep = 0;
  std::memcpy(&scale, alpha, sizeof(scale));
  std::memcpy(&keep, beta, sizeof(keep));
  std::vector<Access> accesses = {
      {a, MatrixBytes(a_rows, a_columns, lda, a_type), false},
      {b, MatrixBytes(b_rows, b_columns, ldb, b_type), false},
      {c, MatrixBytes(m, n, ldc, c_type), true}};
  const auto workspace_bytes = static_cast<int64_t>(handle->workspace_bytes);
  char* workspace = static_cast<char*>(handle->workspace);
  if (workspace_bytes > 0)
    accesses.push_back({workspace, workspace_bytes, true});
  const cudaError_t error =
      cuda_emulation::Enqueue("cublasGemmEx", handle->stream, accesses, [=] {
        std::vector<float> x = Read(a, a_type, a_rows, a_columns, lda);
        std::vector<float> y = Read(b, b_type, b_rows, b_columns, ldb);
        if (compute == CUBLAS_COMPUTE_32F_FAST_TF32) {
          for (float& value : x) value = ToTf32(value);
          for (float& value : y) value = ToTf32(value);
        }
        for (int64_t j = 0; j < n; ++j) {
          for (int64_t i = 0; i < m; ++i) {
            double sum = 0;
            for (int64_t l = 0; l < k; ++l) {
              sum +=
                  static_cast<double>(x[a_is_plain ? l * m + i : i * k + l]) *
                  y[b_is_plain ? j * k + l : l * n + j];
            }
            const int64_t at = j * ldc + i;
            sum *= scale;
            if (keep != 0) {
              sum += static_cast<double>(keep) *
                     LoadElement("cublasGemmEx", c, c_type, at);
            }
            StoreElement(c, c_type, at, static_cast<float>(sum));
          }
        }
        if (workspace_bytes > 0) Spoil(workspace, workspace_bytes);
      });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                              : CUBLAS_STATUS_EXECUTION_FAILED;
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the GPU program failed to execute";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality requested is not supported";
  }
  return "unknown";
}
