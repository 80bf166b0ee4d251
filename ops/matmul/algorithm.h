// The values of the attribute "algorithm" of products of matrices:
// - "auto": what is the fastest (KernelDef::alternatives).
// - "cublas": on GPUs, what cuBLAS takes.
// - "cublaslt:3": on GPUs, the fourth of the algorithms that cuBLASLt's
//   heuristics list, the one they call the fastest first (ops/cuda/lt_gemm.h).
#ifndef FACET_OPS_MATMUL_ALGORITHM_H_
#define FACET_OPS_MATMUL_ALGORITHM_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ops/kernel.h"

namespace facet::ops {

std::string CublasLtAlgorithm(int number);

// 3 of "cublaslt:3"; none of anything that CublasLtAlgorithm does not return.
std::optional<int> CublasLtNumber(absl::string_view algorithm);

// InvalidArgument unless it is one of them.
absl::Status CheckMatmulAlgorithm(const std::string& algorithm);

// Unimplemented unless it is "auto": what kernels on CPUs take.
absl::Status ExpectNoGpuAlgorithm(const std::string& algorithm);

}  // namespace facet::ops

#endif  // FACET_OPS_MATMUL_ALGORITHM_H_
