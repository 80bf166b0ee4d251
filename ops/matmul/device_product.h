// What the CUDA kernels of matmul, and of ops that contain one, have in common.
#ifndef FACET_OPS_MATMUL_DEVICE_PRODUCT_H_
#define FACET_OPS_MATMUL_DEVICE_PRODUCT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/cuda/gemm.h"
#include "ops/kernel.h"

namespace facet::ops {

// The product that matmul's operands and attributes ask for, without data.
GemmCall ProductOf(const KernelSpec& spec);

// One that neither cuBLAS nor cuBLASLt computes.
inline bool IsEmpty(const GemmCall& call) {
  return call.m == 0 || call.n == 0 || call.k == 0;
}

// KernelDef::alternatives, if the attribute leaves it open: `separate`, and
// some of cuBLASLt's algorithms. Which there are is not known where plans are
// made.
std::vector<Attributes> ProductAlternatives(const KernelSpec& spec,
                                            const std::string& separate);

// The product by cuBLASLt's algorithm of that number, not empty; with a bias
// the third input is added to every row.
absl::StatusOr<Kernel> CreateLtProduct(const KernelSpec& spec, bool has_bias,
                                       int algorithm);

}  // namespace facet::ops

#endif  // FACET_OPS_MATMUL_DEVICE_PRODUCT_H_
