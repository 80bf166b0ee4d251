// What this machine is and can do: for the first line of a report and for the
// compiler's cost model.
#ifndef FACET_BENCHMARKS_HARDWARE_H_
#define FACET_BENCHMARKS_HARDWARE_H_

#include <string>

#include "ops/graph/data_type.h"
#include "placement/cluster.h"

namespace facet::benchmarks {

// "AMD EPYC 9B14, AVX-512, AVX512-BF16".
std::string CpuDescription();

// True if oneDNN multiplies bfloat16 natively here (AVX512-BF16 or AMX, or by
// emulation on any AVX-512).
bool CpuMultipliesBFloat16();

// `count` CPU devices of this machine: cores as runtime/device/cpu_device
// divides them, arithmetic rate from the instruction set and clock, memory
// rate from a short measurement (0.1 s), memory as available now.
placement::Cluster LocalCpuCluster(int count);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_HARDWARE_H_
