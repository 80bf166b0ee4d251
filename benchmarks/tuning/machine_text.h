// MachineText: what measured times of kernels depend on besides the kernel.
#ifndef FACET_BENCHMARKS_TUNING_MACHINE_TEXT_H_
#define FACET_BENCHMARKS_TUNING_MACHINE_TEXT_H_

#include <string>

#include "runtime/device/cuda_device.h"

namespace facet::benchmarks {

// "AMD EPYC 9B14, AVX-512 with bfloat16; oneDNN 2.6.3, instruction set 0x1ff;
// kernels 1": the CPU, the library and which instructions it uses (those that
// ONEDNN_MAX_CPU_ISA leaves), the version of this program's own kernels.
std::string MachineText();

// The same of a GPU: "NVIDIA H200; cuDNN 91002; kernels 1".
std::string MachineText(const runtime::CudaDeviceInfo& gpu);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_TUNING_MACHINE_TEXT_H_
