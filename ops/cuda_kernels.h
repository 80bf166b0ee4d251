// The CUDA kernels of all operators that have one; op_list.bzl lists them.
#ifndef FACET_OPS_CUDA_KERNELS_H_
#define FACET_OPS_CUDA_KERNELS_H_

#include "ops/kernel.h"

namespace facet::ops {

// Thread-safe; lives forever. Asks no device: a plan for CUDA devices can be
// made where there is none.
const KernelLibrary& CudaKernels();

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_KERNELS_H_
