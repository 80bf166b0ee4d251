// Gemm: products of row-major matrices by cuBLAS, in float32 arithmetic and the
// same bits each time. Float32 operands stay float32: no TF32.
#ifndef FACET_OPS_CUDA_GEMM_H_
#define FACET_OPS_CUDA_GEMM_H_

#include <cstdint>

#include "absl/status/status.h"
#include "ops/graph/data_type.h"

struct cublasContext;  // CudaContext::cublas()

namespace facet::ops {

// What every product needs as scratch memory, to be planned: the 32 MiB that
// cuBLAS asks for on Hopper (elsewhere 4), and room to align them to 256 bytes.
inline constexpr int64_t kGemmWorkspaceBytes = (int64_t{32} << 20) + 256;

// On the device; element [i, j] is at i * stride + j.
struct GemmOperand {
  const void* data = nullptr;
  DataType dtype = DataType::kFloat32;
  int64_t stride = 0;
  bool transposed = false;  // In the product.
};
struct GemmResult {
  void* data = nullptr;
  DataType dtype = DataType::kFloat32;
  int64_t stride = 0;
};

// c [m, n] = alpha * a [m, k] * b [k, n] + beta * c. The operands have one
// type, c has that or float32; with beta 0, c is not read.
struct GemmCall {
  int64_t m = 0, n = 0, k = 0;
  GemmOperand a, b;
  GemmResult c;
  float alpha = 1, beta = 0;
};

// Enqueues it. `workspace`: kGemmWorkspaceBytes, aligned as kernels get it.
// InvalidArgument if a size or stride is beyond cuBLAS's 2^31 - 1.
absl::Status Gemm(cublasContext* cublas, const GemmCall& call, void* workspace);

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_GEMM_H_
