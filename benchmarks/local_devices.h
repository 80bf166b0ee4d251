// The devices of this machine that a process uses.
#ifndef FACET_BENCHMARKS_LOCAL_DEVICES_H_
#define FACET_BENCHMARKS_LOCAL_DEVICES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "placement/cluster.h"
#include "placement/simulate/hardware.pb.h"
#include "placement/tool/request.h"
#include "runtime/device/device.h"
#include "runtime/processes/process_group.h"

namespace facet::benchmarks {

// What --devices=auto means here: every GPU, if this program was built with
// CUDA and there is one; else a CPU device per core, 2 to 8. Of several
// processes (collective), all GPUs of hosts like this one, or a CPU device per
// process.
absl::StatusOr<placement::DeviceChoice> AutoDevices(
    runtime::ProcessGroup* processes = nullptr);

struct LocalDevices {
  std::string hardware;     // "AMD EPYC 9B14, AVX-512"
  std::string description;  // That, how many, what is free.
  std::string machine;      // tuning/machine_text.h
  std::vector<std::unique_ptr<runtime::Device>> owned;
  std::vector<runtime::Device*> devices;
  placement::Cluster cluster;   // The same, for the compiler; in a row.
  placement::Hardware profile;  // What a device, or a core of one, is.
};

// InvalidArgument, naming --devices, if there are not so many or this program
// cannot use that kind. Of several processes (collective) each has its part of
// the choice; those of one host that see the same GPUs divide them. With CPU
// devices the calling thread, which is to compile for them, gets an OpenMP team
// of their size (ops/openmp_team.h).
absl::StatusOr<LocalDevices> UseLocalDevices(
    const placement::DeviceChoice& choice,
    runtime::ProcessGroup* processes = nullptr);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_LOCAL_DEVICES_H_
