#include "benchmarks/tuning/machine_text.h"

#include "absl/strings/str_format.h"
#include "benchmarks/hardware.h"
#include "dnnl.h"

namespace facet::benchmarks {
namespace {

// Raise it when a kernel of our own becomes faster or slower: what was measured
// before no longer counts.
constexpr int kKernels = 1;

}  // namespace

std::string MachineText() {
  const dnnl_version_t& version = *dnnl_version();
  return absl::StrFormat(
      "%s; oneDNN %d.%d.%d, instruction set 0x%x; kernels %d", CpuDescription(),
      version.major, version.minor, version.patch,
      static_cast<unsigned>(dnnl_get_effective_cpu_isa()), kKernels);
}

std::string MachineText(const runtime::CudaDeviceInfo& gpu) {
  return absl::StrFormat("%s; cuDNN %d; cuBLAS %d; kernels %d", gpu.name,
                         gpu.cudnn_version, gpu.cublas_version, kKernels);
}

}  // namespace facet::benchmarks
