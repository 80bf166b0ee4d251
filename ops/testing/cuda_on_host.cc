#include "ops/testing/cuda_on_host.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/cuda_error.h"
#include "ops/cuda_kernels.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// Memory of the device for one run.
class DeviceBuffers {
 public:
  ~DeviceBuffers() {
    for (void* data : all_) (void)cudaFree(data);
  }

  // Aligned to 64 bytes, as kernels may count on, and to no more.
  absl::StatusOr<void*> Allocate(int64_t size_bytes) {
    constexpr int64_t kAlignment = 64;
    void* data = nullptr;
    if (size_bytes == 0) return data;
    RETURN_IF_CUDA_ERROR(cudaMalloc(&data, kAlignment + size_bytes));
    all_.push_back(data);
    return static_cast<char*>(data) + kAlignment;
  }

  // The device's copy of a host operand, which holds its values if `filled`.
  absl::StatusOr<TensorView> Of(const TensorView& host, bool filled) {
    const int64_t size_bytes = host.slice.size_bytes();
    auto [it, is_new] = by_host_.emplace(host.data, nullptr);
    if (is_new) {
      ASSIGN_OR_RETURN(it->second, Allocate(size_bytes));
      if (filled) {
        RETURN_IF_CUDA_ERROR(cudaMemcpy(it->second, host.data, size_bytes,
                                        cudaMemcpyHostToDevice));
      }
    }
    return TensorView{host.slice, it->second};
  }

 private:
  std::vector<void*> all_;
  std::map<const void*, void*> by_host_;
};

// Operands and workspace of one application, on the device.
struct OnDevice {
  std::vector<TensorView> inputs, outputs;
  KernelContext context;
};

absl::Status BringIn(const KernelDef& def, const KernelSpec& planned,
                     const KernelContext& host, CudaContext* cuda,
                     DeviceBuffers* buffers, OnDevice* device) {
  for (const TensorView& view : host.inputs) {
    ASSIGN_OR_RETURN(device->inputs.emplace_back(), buffers->Of(view, true));
  }
  for (const TensorView& view : host.outputs) {
    ASSIGN_OR_RETURN(device->outputs.emplace_back(), buffers->Of(view, false));
  }
  device->context = host;
  device->context.inputs = device->inputs;
  device->context.outputs = device->outputs;
  device->context.cuda = cuda;
  if (def.workspace_bytes == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t bytes, def.workspace_bytes(planned));
  ASSIGN_OR_RETURN(device->context.workspace, buffers->Allocate(bytes));
  return absl::OkStatus();
}

// Calls `run` as a session does that replays: what it puts into the stream is
// recorded, then done.
absl::Status Replayed(cudaStream_t stream,
                      const std::function<absl::Status()>& run) {
  RETURN_IF_CUDA_ERROR(
      cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  const absl::Status status = run();
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
  RETURN_IF_ERROR(status);
  RETURN_IF_CUDA_ERROR(ended);
  cudaGraphExec_t executable = nullptr;
  RETURN_IF_CUDA_ERROR(
      cudaGraphInstantiateWithFlags(&executable, graph, /*flags=*/0));
  RETURN_IF_CUDA_ERROR(cudaGraphDestroy(graph));
  RETURN_IF_CUDA_ERROR(cudaGraphLaunch(executable, stream));
  RETURN_IF_CUDA_ERROR(cudaStreamSynchronize(stream));
  return ToStatus(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
}

// One for all runs of a thread: a stream and the libraries' handles take longer
// to make than most runs.
absl::StatusOr<CudaContext*> ThisThreadsContext() {
  constexpr int kDevice = 0;
  thread_local std::unique_ptr<CudaContext> context;
  if (context == nullptr) {
    ASSIGN_OR_RETURN(context, CudaContext::Create(kDevice, /*urgent=*/false));
  }
  // The test may have gone to another since.
  RETURN_IF_CUDA_ERROR(cudaSetDevice(kDevice));
  return context.get();
}

absl::Status RunOnHost(const KernelDef& def, std::vector<KernelSpec> planned,
                       absl::Span<const KernelContext> hosts) {
  ASSIGN_OR_RETURN(CudaContext* const cuda, ThisThreadsContext());
  DeviceBuffers buffers;
  std::vector<OnDevice> devices(hosts.size());
  std::vector<KernelContext> contexts;
  for (size_t i = 0; i < hosts.size(); ++i) {
    RETURN_IF_ERROR(
        BringIn(def, planned[i], hosts[i], cuda, &buffers, &devices[i]));
    contexts.push_back(devices[i].context);
    planned[i].cuda = cuda;
  }
  ASSIGN_OR_RETURN(const GroupKernel kernel, CreateGroupKernel(def, planned));
  // The copies have left the host; the kernel's stream does not wait for them.
  RETURN_IF_CUDA_ERROR(cudaDeviceSynchronize());
  if (def.depends_on_step != nullptr &&
      std::any_of(planned.begin(), planned.end(), def.depends_on_step)) {
    RETURN_IF_ERROR(kernel(contexts));
  } else {
    // Who has not said that the step matters does not learn it.
    for (KernelContext& context : contexts) {
      context.step = KernelContext::kNoStep;
    }
    RETURN_IF_ERROR(Replayed(cuda->stream(), [&] { return kernel(contexts); }));
  }
  RETURN_IF_CUDA_ERROR(cudaStreamSynchronize(cuda->stream()));
  auto copy_back = [](const TensorView& device, const TensorView& to) {
    return ToStatus(cudaMemcpy(to.data, device.data, to.slice.size_bytes(),
                               cudaMemcpyDeviceToHost),
                    "cudaMemcpy");
  };
  for (size_t i = 0; i < hosts.size(); ++i) {
    for (size_t k = 0; k < hosts[i].inputs.size(); ++k) {
      RETURN_IF_ERROR(copy_back(devices[i].inputs[k], hosts[i].inputs[k]));
    }
    for (size_t k = 0; k < hosts[i].outputs.size(); ++k) {
      RETURN_IF_ERROR(copy_back(devices[i].outputs[k], hosts[i].outputs[k]));
    }
  }
  return absl::OkStatus();
}

KernelDef OnHost(const KernelDef& def) {
  KernelDef on_host = def;
  // It lies on the device, and RunOnHost allocates it: none on the host.
  on_host.workspace_bytes = nullptr;
  // What only the compiler handles is listed, but never made.
  if (def.create == nullptr) return on_host;
  on_host.create = [def](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([def, spec](const KernelContext& context) {
      return RunOnHost(def, {spec}, absl::MakeConstSpan(&context, 1));
    });
  };
  if (def.create_group == nullptr) return on_host;
  on_host.create_group =
      [def](absl::Span<const KernelSpec> specs) -> absl::StatusOr<GroupKernel> {
    return GroupKernel(
        [def, specs = std::vector<KernelSpec>(specs.begin(), specs.end())](
            absl::Span<const KernelContext> contexts) {
          return RunOnHost(def, specs, contexts);
        });
  };
  return on_host;
}

const KernelDef* Find(absl::string_view op) {
  static auto& wrapped = *new std::map<std::string, KernelDef>;
  const KernelDef* def = CudaKernels().find(op);
  if (def == nullptr) return nullptr;
  auto it = wrapped.find(std::string(op));
  if (it == wrapped.end()) {
    it = wrapped.emplace(std::string(op), OnHost(*def)).first;
  }
  return &it->second;
}

}  // namespace

const KernelLibrary& CudaKernelsOnHost() {
  static const KernelLibrary library = {"cuda", Find,
                                        CudaKernels().preferred_layout};
  return library;
}

std::string CudaUnavailable() {
  int count = 0;
  const absl::Status status =
      ToStatus(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  return status.ok() ? "" : absl::StrCat("no CUDA device: ", status.message());
}

bool CudaIsEmulated() {
  cudaDeviceProp properties;
  return cudaGetDeviceProperties(&properties, 0) == cudaSuccess &&
         absl::StartsWith(properties.name, "emulated");
}

}  // namespace facet::ops
