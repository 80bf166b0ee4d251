// The CPU kernels of all operators; op_list.bzl lists them, one line each.
#ifndef FACET_OPS_CPU_KERNELS_H_
#define FACET_OPS_CPU_KERNELS_H_

#include "ops/kernel.h"

namespace facet::ops {

// Thread-safe; lives forever.
const KernelLibrary& CpuKernels();

}  // namespace facet::ops

#endif  // FACET_OPS_CPU_KERNELS_H_
