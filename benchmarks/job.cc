#include "benchmarks/job.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"
#include "placement/simulate/hardware.h"
#include "runtime/device/cpu_device.h"
#include "runtime/processes/mpi.h"

namespace facet::benchmarks {
namespace {

using runtime::ProcessGroup;

absl::Status DivideCores(ProcessGroup& processes) {
  ASSIGN_OR_RETURN(const runtime::Share share,
                   runtime::ShareOf(processes, runtime::UsableCores()));
  return runtime::UsePartOfCores(share.index, share.count);
}

// A message to the next process, and one from the previous, at once.
absl::StatusOr<double> SecondsToPass(ProcessGroup& processes, int64_t bytes) {
  std::vector<char> sent(bytes), received(bytes);
  const int size = processes.size();
  double best = 1e300;
  for (int repeat = 0; repeat < 4; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(processes.Exchange(
        {{(processes.rank() + 1) % size, 0, sent.data(), bytes}},
        {{(processes.rank() + size - 1) % size, 0, received.data(), bytes}},
        absl::OkStatus));
    const std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - start;
    if (repeat > 0) best = std::min(best, time.count());  // Connects first.
  }
  return best;
}

absl::StatusOr<double> Most(ProcessGroup& processes, double mine) {
  ASSIGN_OR_RETURN(const std::vector<double> all,
                   runtime::AllGather(processes, mine));
  return *std::max_element(all.begin(), all.end());
}

absl::StatusOr<placement::Link> MeasureNetwork(ProcessGroup& processes,
                                               placement::Link network) {
  constexpr int64_t kLarge = int64_t{4} << 20;
  ASSIGN_OR_RETURN(double small, SecondsToPass(processes, 8));
  ASSIGN_OR_RETURN(double large, SecondsToPass(processes, kLarge));
  // The slowest process decides.
  ASSIGN_OR_RETURN(small, Most(processes, small));
  ASSIGN_OR_RETURN(large, Most(processes, large));
  network.set_latency_seconds(small);
  network.set_bytes_per_second(kLarge / std::max(large - small, 1e-9));
  return network;
}

// Bytes that each device of this process can have; `on_host` processes share
// the host's.
double MemoryOfDevice(const LocalDevices& local, int on_host) {
  double bytes = static_cast<double>(local.cluster.host_memory_bytes) /
                 (on_host * static_cast<double>(local.devices.size()));
  for (const placement::DeviceSpec& device : local.cluster.devices) {
    if (device.memory_bytes == 0) continue;
    const auto its = static_cast<double>(device.memory_bytes);
    bytes = bytes == 0 ? its : std::min(bytes, its);
  }
  return bytes;
}

// The names of all hosts.
absl::StatusOr<std::set<std::string>> FindHosts(ProcessGroup& processes) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   runtime::AllGather(processes, runtime::HostName()));
  return std::set<std::string>(names.begin(), names.end());
}

absl::Status CheckThatAllHave(const std::string& mine,
                              ProcessGroup& processes) {
  ASSIGN_OR_RETURN(const std::vector<std::string> all,
                   runtime::AllGather(processes, mine));
  for (int p = 0; p < processes.size(); ++p) {
    if (all[p] == all[0]) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "process ", p, " has ", all[p], ", process 0 has ", all[0],
        ": all must have the same; say with --devices how many there are in "
        "all processes together"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProcessGroup>> JoinJob() {
  ASSIGN_OR_RETURN(std::unique_ptr<ProcessGroup> processes, runtime::JoinMpi());
  if (processes == nullptr) return processes;
  RETURN_IF_ERROR(DivideCores(*processes));
  if (processes->rank() != 0 &&
      std::freopen("/dev/null", "w", stdout) == nullptr) {
    return absl::InternalError("cannot open /dev/null");
  }
  return processes;
}

absl::StatusOr<JobDevices> GatherDevices(
    const LocalDevices& local, absl::Span<const placement::AxisSize> axes,
    ProcessGroup* processes) {
  JobDevices job;
  if (processes == nullptr) {
    job.devices = local.devices;
    job.cluster = placement::Arranged(local.cluster, axes);
    return job;
  }
  const std::string& kind = local.cluster.devices[0].kind;
  const int count = static_cast<int>(local.devices.size());
  RETURN_IF_ERROR(CheckThatAllHave(absl::StrCat(kind, ":", count), *processes));
  ASSIGN_OR_RETURN(const std::set<std::string> hosts, FindHosts(*processes));
  ASSIGN_OR_RETURN(const runtime::Share of_host,
                   runtime::ShareOf(*processes, ""));
  ASSIGN_OR_RETURN(
      const std::vector<double> bytes,
      runtime::AllGather(*processes, MemoryOfDevice(local, of_host.count)));
  const auto least_bytes =
      static_cast<int64_t>(*std::min_element(bytes.begin(), bytes.end()));

  placement::Hardware hardware = local.profile;
  hardware.set_devices_per_host(count);
  if (kind == "cpu") {
    ASSIGN_OR_RETURN(*hardware.mutable_network(),
                     MeasureNetwork(*processes, hardware.network()));
  } else if (hosts.size() == 1) {
    *hardware.mutable_network() = hardware.link();
  } else {
    hardware.set_devices_per_host(count * of_host.count);
  }
  const int total = count * processes->size();
  job.description = absl::StrCat(
      processes->size(), " processes on ", hosts.size(),
      hosts.size() == 1 ? " host" : " hosts", ": ", total, " devices");
  job.cluster = placement::ClusterOf(hardware, axes);
  job.cluster.kernels = local.cluster.kernels;
  if (local.cluster.host_memory_bytes > 0) {
    job.cluster.host_memory_bytes = least_bytes * total;
  }
  for (int d = 0; d < total; ++d) {
    placement::DeviceSpec& device = job.cluster.devices[d];
    device = local.cluster.devices[d % count];
    device.name = absl::StrCat(kind, ":", d);
    if (device.memory_bytes > 0) device.memory_bytes = least_bytes;
    const bool here = d / count == processes->rank();
    job.devices.push_back(here ? local.devices[d % count] : nullptr);
  }
  return job;
}

}  // namespace facet::benchmarks
