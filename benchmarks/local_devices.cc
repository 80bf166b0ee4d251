#include "benchmarks/local_devices.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "benchmarks/cuda_hardware.h"
#include "benchmarks/hardware.h"
#include "benchmarks/tuning/machine_text.h"
#include "glog/logging.h"
#include "ops/openmp_team.h"
#include "ops/status_macros.h"
#include "placement/simulate/hardware.h"
#include "placement/tool/flag_values.h"
#include "runtime/device/cpu_device.h"
#include "runtime/device/cuda_device.h"
#include "runtime/device/host_memory.h"

namespace facet::benchmarks {
namespace {

constexpr double kGiB = 1 << 30;

// Why a program that could use GPUs does not; empty if it was built without.
std::string WithoutGpu() {
  const auto gpus = runtime::CudaDevices();
  if (absl::IsUnimplemented(gpus.status())) return "";
  if (!gpus.ok()) {
    return absl::StrCat("CUDA does not work (", gpus.status().message(),
                        "); running on CPU: ");
  }
  return gpus->empty() ? "no CUDA device; running on CPU: " : "";
}

// The same for processes that see the same GPUs.
std::string BusIds(const std::vector<runtime::CudaDeviceInfo>& gpus) {
  std::string ids;
  for (const runtime::CudaDeviceInfo& gpu : gpus) {
    absl::StrAppend(&ids, gpu.pci_bus_id, " ");
  }
  return ids;
}

absl::StatusOr<LocalDevices> UseCpu(int count) {
  LocalDevices local;
  local.hardware = CpuDescription();
  local.machine = MachineText();
  const int cores = runtime::AvailableCores();
  local.description = absl::StrFormat(
      "%s%s, %d cores, %.1f GiB free; %d CPU devices", WithoutGpu(),
      local.hardware, cores, runtime::AvailableHostMemoryBytes() / kGiB, count);
  if (count > cores) {
    LOG(WARNING) << count << " devices share " << cores
                 << " cores: this is right for trying things out, not for "
                    "speed";
  }
  ASSIGN_OR_RETURN(local.owned, runtime::CreateCpuDevices(count));
  local.profile = LocalCpuCore();
  local.cluster = CpuCluster(local.profile, count);
  // The compiler asks kernels on this thread for their workspace: with the team
  // that the devices' threads have.
  int team = 1;
  for (const placement::DeviceSpec& device : local.cluster.devices) {
    team = std::max(team, device.cores);
  }
  ops::SetTeam(team);
  return local;
}

absl::StatusOr<LocalDevices> UseCuda(int count, int first) {
  LocalDevices local;
  ASSIGN_OR_RETURN(local.owned, runtime::CreateCudaDevices(count, first));
  ASSIGN_OR_RETURN(const std::vector<runtime::CudaDeviceInfo> gpus,
                   runtime::CudaDevices());
  local.hardware = gpus[first].name;
  local.machine = MachineText(gpus[first]);
  local.description = absl::StrFormat(
      "%s, compute capability %d.%d, %.1f of %.1f GiB free; %d of %d CUDA "
      "devices",
      local.hardware, gpus[first].compute_capability / 10,
      gpus[first].compute_capability % 10, gpus[first].free_bytes / kGiB,
      gpus[first].memory_bytes / kGiB, count, gpus.size());
  local.profile = CudaHardware(gpus[first]);
  local.cluster = placement::ClusterOf(local.profile, count);
  for (int i = 0; i < count; ++i) {
    placement::DeviceSpec& device = local.cluster.devices[i];
    device = placement::DeviceSpecOf(CudaHardware(gpus[first + i]));
    device.name = local.owned[i]->name();
  }
  local.cluster.kernels = &local.owned[0]->kernels();
  return local;
}

}  // namespace

absl::StatusOr<placement::DeviceChoice> AutoDevices(
    runtime::ProcessGroup* processes) {
  const auto gpus = runtime::CudaDevices();
  const bool cuda = gpus.ok() && !gpus->empty();
  if (processes == nullptr) {
    return cuda
               ? placement::DeviceChoice{"cuda", static_cast<int>(gpus->size())}
               : placement::DeviceChoice{
                     "cpu", std::clamp(runtime::AvailableCores(), 2, 8)};
  }
  // Together, whatever each has: where they differ it is said later.
  ASSIGN_OR_RETURN(const runtime::Share share,
                   runtime::ShareOf(*processes, cuda ? BusIds(*gpus) : ""));
  if (!cuda) return placement::DeviceChoice{"cpu", processes->size()};
  const int each = static_cast<int>(gpus->size()) / share.count;
  return placement::DeviceChoice{"cuda", processes->size() * std::max(1, each)};
}

absl::StatusOr<LocalDevices> UseLocalDevices(
    const placement::DeviceChoice& choice, runtime::ProcessGroup* processes) {
  const int parts = processes == nullptr ? 1 : processes->size();
  if (choice.count % parts != 0) {
    return placement::InvalidFlag(
        "devices", absl::StrCat(choice.kind, ":", choice.count),
        absl::StrCat(parts,
                     " processes cannot have equally many of them; use a "
                     "multiple of ",
                     parts));
  }
  const int count = choice.count / parts;
  int first = 0;
  if (processes != nullptr && choice.kind == "cuda") {
    const auto gpus = runtime::CudaDevices();
    ASSIGN_OR_RETURN(
        const runtime::Share share,
        runtime::ShareOf(*processes, gpus.ok() ? BusIds(*gpus) : ""));
    first = share.index * count;
  }
  absl::StatusOr<LocalDevices> local =
      choice.kind == "cuda" ? UseCuda(count, first) : UseCpu(count);
  if (!local.ok()) {
    return placement::InvalidFlag("devices",
                                  absl::StrCat(choice.kind, ":", choice.count),
                                  local.status().message());
  }
  for (const auto& device : local->owned) {
    local->devices.push_back(device.get());
  }
  return local;
}

}  // namespace facet::benchmarks
