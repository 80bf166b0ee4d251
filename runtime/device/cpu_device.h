// CPU devices: each a set of cores of this machine, pinned, with its own
// OpenMP team and memory of their NUMA nodes. Several in one process make model
// parallelism real on a laptop.
#ifndef FACET_RUNTIME_DEVICE_CPU_DEVICE_H_
#define FACET_RUNTIME_DEVICE_CPU_DEVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/device/device.h"

namespace facet::runtime {

// Which processing units this process may run on, as a list for people: "0-3".
std::string UsableCores();

// Leaves this process the part `index` of `parts` of its cores; all of them if
// there are fewer cores than parts. For processes that share them. Before
// anything else of this header, and before threads start.
absl::Status UsePartOfCores(int index, int parts);

// Cores that this process may use (physical ones: hyperthreads share their
// arithmetic units), at least 1.
int AvailableCores();

// Divides the available cores over `count` devices in order, the first ones
// get one more where it does not divide. With more devices than cores each has
// a team of one thread and is not pinned. InvalidArgument if count < 1 or
// count > 1024.
absl::StatusOr<std::vector<std::unique_ptr<Device>>> CreateCpuDevices(
    int count);

// Cores per device, as CreateCpuDevices gives them.
int CoresOfCpuDevice(int count, int index);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_DEVICE_CPU_DEVICE_H_
