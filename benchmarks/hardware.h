// What this machine is and can do: for the first line of a report and for the
// compiler's cost model.
#ifndef FACET_BENCHMARKS_HARDWARE_H_
#define FACET_BENCHMARKS_HARDWARE_H_

#include <string>

#include "ops/graph/data_type.h"
#include "placement/cluster.h"
#include "placement/simulate/hardware.pb.h"

namespace facet::benchmarks {

// "AMD EPYC 9B14, AVX-512, AVX512-BF16".
std::string CpuDescription();

// True if oneDNN multiplies bfloat16 natively here (AVX512-BF16 or AMX, or by
// emulation on any AVX-512).
bool CpuMultipliesBFloat16();

// One core of this machine: peaks from the instruction set and clock, and from
// a short measurement of its memory (0.1 s); what operators reach of them from
// placement/simulate/hardware/cpu.txtpb (`bazel run //benchmarks:calibrate`).
placement::Hardware LocalCpuCore();

// The cores of device `index` of `count`: a part of one where there are more
// devices than cores.
double CoresOfDevice(int count, int index);

// `count` CPU devices of this machine: so many of its cores (LocalCpuCore) as
// runtime/device/cpu_device gives each; memory as available now.
placement::Cluster CpuCluster(const placement::Hardware& core, int count);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_HARDWARE_H_
