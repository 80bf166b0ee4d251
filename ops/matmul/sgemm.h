// Sgemm: the float32 matrix product that the CPU kernels are built on.
#ifndef FACET_OPS_MATMUL_SGEMM_H_
#define FACET_OPS_MATMUL_SGEMM_H_

#include <cstdint>

#include "absl/status/status.h"

namespace facet::ops {

// A row-major matrix within a larger one: element (i, j) is at
// data[i * stride + j], or, transposed, at data[j * stride + i].
struct SgemmOperand {
  const float* data = nullptr;
  int64_t stride = 0;
  bool transpose = false;
};

// c [m, n] = a [m, k] * b [k, n] + beta * c. With beta 0, c is not read. Runs
// on the caller's OpenMP team; within a parallel region on the calling thread
// alone. The same team gives the same bits. Fails only if memory is short.
absl::Status Sgemm(int64_t m, int64_t n, int64_t k, const SgemmOperand& a,
                   const SgemmOperand& b, float beta, float* c,
                   int64_t c_stride);

}  // namespace facet::ops

#endif  // FACET_OPS_MATMUL_SGEMM_H_
