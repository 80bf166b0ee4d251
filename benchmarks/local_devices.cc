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
  local.cluster = LocalCpuCluster(count);
  // The compiler asks kernels on this thread for their workspace: with the team
  // that the devices' threads have.
  int team = 1;
  for (const placement::DeviceSpec& device : local.cluster.devices) {
    team = std::max(team, device.cores);
  }
  ops::SetTeam(team);
  return local;
}

absl::StatusOr<LocalDevices> UseCuda(int count) {
  LocalDevices local;
  ASSIGN_OR_RETURN(local.owned, runtime::CreateCudaDevices(count));
  ASSIGN_OR_RETURN(const std::vector<runtime::CudaDeviceInfo> gpus,
                   runtime::CudaDevices());
  local.hardware = gpus[0].name;
  local.machine = MachineText(gpus[0]);
  local.description = absl::StrFormat(
      "%s, compute capability %d.%d, %.1f of %.1f GiB free; %d of %d CUDA "
      "devices",
      local.hardware, gpus[0].compute_capability / 10,
      gpus[0].compute_capability % 10, gpus[0].free_bytes / kGiB,
      gpus[0].memory_bytes / kGiB, count, gpus.size());
  local.cluster = placement::ClusterOf(CudaHardware(gpus[0]), count);
  for (int i = 0; i < count; ++i) {
    placement::DeviceSpec& device = local.cluster.devices[i];
    device = placement::DeviceSpecOf(CudaHardware(gpus[i]));
    device.name = local.owned[i]->name();
  }
  local.cluster.kernels = &local.owned[0]->kernels();
  return local;
}

}  // namespace

placement::DeviceChoice AutoDevices() {
  if (const auto gpus = runtime::CudaDevices(); gpus.ok() && !gpus->empty()) {
    return {"cuda", static_cast<int>(gpus->size())};
  }
  return {"cpu", std::clamp(runtime::AvailableCores(), 2, 8)};
}

absl::StatusOr<LocalDevices> UseLocalDevices(
    const placement::DeviceChoice& choice) {
  absl::StatusOr<LocalDevices> local =
      choice.kind == "cuda" ? UseCuda(choice.count) : UseCpu(choice.count);
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
