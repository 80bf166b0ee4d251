// CudaKernelsOnHost: CUDA kernels that take their operands on the host, so that
// whatever tests CPU kernels tests them as well.
#ifndef FACET_OPS_TESTING_CUDA_ON_HOST_H_
#define FACET_OPS_TESTING_CUDA_ON_HOST_H_

#include <string>

#include "ops/kernel.h"

namespace facet::ops {

// CudaKernels(), each wrapped: a kernel copies its inputs to memory of device 0
// (operands that lie over each other stay so), runs, and copies all operands
// back. Memory of outputs and workspace is not written before: emulated, a
// kernel that reads it, or leaves a part of an output unwritten, fails.
const KernelLibrary& CudaKernelsOnHost();

// Why they cannot run here ("no CUDA device: ..."); empty if they can. Emulated
// they always can.
std::string CudaUnavailable();

// Whether their device is an emulated one, which does what it is told to: a
// GPU's libraries may choose.
bool CudaIsEmulated();

}  // namespace facet::ops

#endif  // FACET_OPS_TESTING_CUDA_ON_HOST_H_
