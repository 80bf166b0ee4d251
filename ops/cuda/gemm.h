// Gemm: products of row-major matrices by cuBLAS, with sums in float32 and the
// same bits each time.
#ifndef FACET_OPS_CUDA_GEMM_H_
#define FACET_OPS_CUDA_GEMM_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "ops/graph/data_type.h"

struct cublasContext;  // CudaContext::cublas()

namespace facet::ops {

// The scratch memory of any product, to be planned: the 32 MiB that cuBLAS asks
// for on Hopper (elsewhere 4), and room to align them to 256 bytes.
inline constexpr int64_t kGemmWorkspaceBytes = (int64_t{32} << 20) + 256;

// That of a product with this result. It is for partial sums where a long inner
// dimension is split, in at most about as many parts as there are
// multiprocessors, so small results need less; below 16 KiB cuBLAS may fail.
inline int64_t GemmWorkspaceBytes(int64_t m, int64_t n) {
  constexpr int64_t kParts = 128;
  constexpr int64_t kLeast = int64_t{64} << 10;
  const double partial_sums = 4.0 * kParts * static_cast<double>(m) * n;
  if (partial_sums > kGemmWorkspaceBytes - 256) return kGemmWorkspaceBytes;
  return std::max(kLeast, static_cast<int64_t>(partial_sums)) + 256;
}

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
  // Float32 operands may be rounded to TF32 (ops/may_round_attribute.h);
  // else they stay as they are.
  bool may_round = false;
};

// Enqueues it. `workspace`: GemmWorkspaceBytes(m, n), aligned as kernels get
// it. InvalidArgument if a size or stride is beyond cuBLAS's 2^31 - 1.
absl::Status Gemm(cublasContext* cublas, const GemmCall& call, void* workspace);

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_GEMM_H_
