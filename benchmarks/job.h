// The processes of a training (mpirun), and the devices that they bring.
#ifndef FACET_BENCHMARKS_JOB_H_
#define FACET_BENCHMARKS_JOB_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "benchmarks/local_devices.h"
#include "placement/cluster.h"
#include "runtime/device/device.h"
#include "runtime/processes/process_group.h"

namespace facet::benchmarks {

// Null if this process was started alone. Else: processes of one host that may
// all use the same cores divide them, and only process 0 writes to the standard
// output. First thing of a program, on its main thread.
absl::StatusOr<std::unique_ptr<runtime::ProcessGroup>> JoinJob();

// What all processes have together.
struct JobDevices {
  std::string description;  // "2 processes on 1 host: 4 devices". Empty: alone.
  std::vector<runtime::Device*> devices;  // By number; null: another process's.
  placement::Cluster cluster;             // On a mesh of the axes asked for.
};

// Collective. The devices are taken for those of process 0, with the least
// memory of any; what they send each other beyond their process is measured (a
// few MiB; between GPUs it is the network of the nearest hardware profile).
// FailedPrecondition if a process has others than process 0.
absl::StatusOr<JobDevices> GatherDevices(
    const LocalDevices& local, absl::Span<const placement::AxisSize> axes,
    runtime::ProcessGroup* processes);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_JOB_H_
