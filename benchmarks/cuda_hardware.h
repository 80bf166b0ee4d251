// What a GPU of this machine can do, for the compiler's cost model.
#ifndef FACET_BENCHMARKS_CUDA_HARDWARE_H_
#define FACET_BENCHMARKS_CUDA_HARDWARE_H_

#include "placement/simulate/hardware.pb.h"
#include "runtime/device/cuda_device.h"

namespace facet::benchmarks {

// Peaks from its clocks, multiprocessors and architecture; the parts of them
// that operators reach, and the links, from the profile of the nearest
// architecture (placement/simulate/hardware: V100, A100, H100).
placement::Hardware CudaHardware(const runtime::CudaDeviceInfo& device);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_CUDA_HARDWARE_H_
