// The devices of this machine that a run uses.
#ifndef FACET_BENCHMARKS_LOCAL_DEVICES_H_
#define FACET_BENCHMARKS_LOCAL_DEVICES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "placement/cluster.h"
#include "placement/tool/request.h"
#include "runtime/device/device.h"

namespace facet::benchmarks {

// What --devices=auto means here: every GPU, if this program was built with
// CUDA and there is one; else a CPU device per core, 2 to 8.
placement::DeviceChoice AutoDevices();

struct LocalDevices {
  std::string hardware;     // "AMD EPYC 9B14, AVX-512"
  std::string description;  // That, how many, what is free.
  std::string machine;      // tuning/machine_text.h
  std::vector<std::unique_ptr<runtime::Device>> owned;
  std::vector<runtime::Device*> devices;
  placement::Cluster cluster;  // The same, for the compiler; in a row.
};

// InvalidArgument, naming --devices, if there are not so many or this program
// cannot use that kind. With CPU devices the calling thread, which is to
// compile for them, gets an OpenMP team of their size (ops/openmp_team.h).
absl::StatusOr<LocalDevices> UseLocalDevices(
    const placement::DeviceChoice& choice);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_LOCAL_DEVICES_H_
