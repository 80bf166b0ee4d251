// TimeKernel: how long kernels take on a device of this machine.
#ifndef FACET_BENCHMARKS_TUNING_TIME_KERNEL_H_
#define FACET_BENCHMARKS_TUNING_TIME_KERNEL_H_

#include <vector>

#include "absl/status/statusor.h"
#include "placement/kernel_timer.h"
#include "runtime/device/device.h"

namespace facet::benchmarks {

// Seconds of the fastest run of each alternative, in turns, on memory of the
// device filled with numbers that differ; a few runs, some 0.1 s. (The fastest:
// what else the machine does only adds to it.) Unimplemented for one that the
// device will never run; another error for one that it does not run now, such
// as for want of memory, with a warning. The calling thread has entered the
// device's compute stream; nothing else runs there.
std::vector<absl::StatusOr<double>> TimeKernel(
    const placement::KernelChoice& choice, runtime::Device* device);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_TUNING_TIME_KERNEL_H_
