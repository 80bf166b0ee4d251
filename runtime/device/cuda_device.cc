#include "runtime/device/cuda_device.h"

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "glog/logging.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/cuda_error.h"
#include "ops/cuda_kernels.h"
#include "ops/status_macros.h"
#include "runtime/collectives/nccl.h"

namespace facet::runtime {
namespace {

constexpr double kGiB = 1 << 30;

// One cudaMalloc.
class CudaArena : public Arena {
 public:
  CudaArena(int device, void* data, int64_t size_bytes)
      : device_(device), data_(data), size_bytes_(size_bytes) {}
  ~CudaArena() override {
    (void)cudaSetDevice(device_);
    (void)cudaFree(data_);
  }
  void* data() const override { return data_; }
  int64_t size_bytes() const override { return size_bytes_; }
  int64_t resident_bytes() const override { return size_bytes_; }

 private:
  const int device_;
  void* const data_;
  const int64_t size_bytes_;
};

class CudaEvent : public Event {
 public:
  explicit CudaEvent(cudaEvent_t event) : event_(event) {}
  ~CudaEvent() override { (void)cudaEventDestroy(event_); }

  cudaEvent_t get() const { return event_; }

  absl::StatusOr<bool> HasPassed() const override {
    const cudaError_t result = cudaEventQuery(event_);
    if (result == cudaErrorNotReady) return false;
    RETURN_IF_ERROR(ops::ToStatus(result, "cudaEventQuery"));
    return true;
  }

  absl::StatusOr<double> SecondsSince(const Event& earlier) const override {
    float milliseconds = 0;
    RETURN_IF_CUDA_ERROR(cudaEventElapsedTime(
        &milliseconds, static_cast<const CudaEvent&>(earlier).event_, event_));
    return milliseconds * 1e-3;
  }

 private:
  const cudaEvent_t event_;
};

class CudaGraph : public RecordedWork {
 public:
  explicit CudaGraph(cudaGraphExec_t graph) : graph_(graph) {}
  ~CudaGraph() override { (void)cudaGraphExecDestroy(graph_); }

  cudaGraphExec_t get() const { return graph_; }

 private:
  const cudaGraphExec_t graph_;
};

class CudaStream : public Stream {
 public:
  explicit CudaStream(std::unique_ptr<ops::CudaContext> context)
      : context_(std::move(context)) {}
  ~CudaStream() override {
    // What it works on may be gone soon. Errors have been reported.
    (void)cudaStreamSynchronize(context_->stream());
  }

  ops::CudaContext* cuda() override { return context_.get(); }

  absl::Status Record(Event& event) override {
    return ops::ToStatus(cudaEventRecord(static_cast<CudaEvent&>(event).get(),
                                         context_->stream()),
                         "cudaEventRecord");
  }
  absl::Status Wait(const Event& event) override {
    return ops::ToStatus(
        cudaStreamWaitEvent(context_->stream(),
                            static_cast<const CudaEvent&>(event).get(),
                            /*flags=*/0),
        "cudaStreamWaitEvent");
  }
  absl::Status Synchronize() override {
    return ops::ToStatus(cudaStreamSynchronize(context_->stream()),
                         "cudaStreamSynchronize");
  }

  absl::Status BeginRecording() override {
    // Of this thread only: others go on with their streams.
    return ops::ToStatus(
        cudaStreamBeginCapture(context_->stream(),
                               cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
  }
  absl::StatusOr<std::unique_ptr<RecordedWork>> EndRecording() override {
    cudaGraph_t graph = nullptr;
    RETURN_IF_CUDA_ERROR(cudaStreamEndCapture(context_->stream(), &graph));
    cudaGraphExec_t executable = nullptr;
    const absl::Status status = ops::ToStatus(
        cudaGraphInstantiateWithFlags(&executable, graph, /*flags=*/0),
        "cudaGraphInstantiate");
    (void)cudaGraphDestroy(graph);
    RETURN_IF_ERROR(status);
    return std::make_unique<CudaGraph>(executable);
  }
  absl::Status Replay(const RecordedWork& work) override {
    return ops::ToStatus(
        cudaGraphLaunch(static_cast<const CudaGraph&>(work).get(),
                        context_->stream()),
        "cudaGraphLaunch");
  }

 private:
  const std::unique_ptr<ops::CudaContext> context_;
};

class CudaDevice : public Device {
 public:
  explicit CudaDevice(int index)
      : index_(index), name_(absl::StrCat("cuda:", index)) {}

  const std::string& name() const override { return name_; }
  const ops::KernelLibrary& kernels() const override {
    return ops::CudaKernels();
  }
  bool host_accessible() const override { return false; }
  bool asynchronous() const override { return true; }

  absl::StatusOr<std::unique_ptr<Event>> CreateEvent(bool timed) override {
    RETURN_IF_CUDA_ERROR(cudaSetDevice(index_));
    cudaEvent_t event = nullptr;
    RETURN_IF_CUDA_ERROR(cudaEventCreateWithFlags(
        &event, timed ? cudaEventDefault : cudaEventDisableTiming));
    return std::make_unique<CudaEvent>(event);
  }

  absl::Status Synchronize() override {
    RETURN_IF_ERROR(Named(cudaSetDevice(index_), "cudaSetDevice"));
    return Named(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }

  absl::StatusOr<std::unique_ptr<Arena>> Allocate(int64_t size_bytes) override {
    CHECK_GE(size_bytes, 0);
    RETURN_IF_ERROR(Named(cudaSetDevice(index_), "cudaSetDevice"));
    if (size_bytes == 0) return std::make_unique<CudaArena>(index_, nullptr, 0);
    size_t free_bytes = 0, total_bytes = 0;
    RETURN_IF_ERROR(
        Named(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo"));
    void* data = nullptr;
    const absl::Status status =
        Named(cudaMalloc(&data, size_bytes), "cudaMalloc");
    if (absl::IsResourceExhausted(status)) {
      return absl::ResourceExhaustedError(absl::StrFormat(
          "%s: cannot allocate its arena of %.2f GiB: %.2f of %.2f GiB are "
          "free; a smaller --batch_size or --classes, --partial_fc or more "
          "devices need less",
          name_, size_bytes / kGiB, free_bytes / kGiB, total_bytes / kGiB));
    }
    RETURN_IF_ERROR(status);
    return std::make_unique<CudaArena>(index_, data, size_bytes);
  }

  absl::Status EnterStream(ops::StreamKind) override {
    return ops::ToStatus(cudaSetDevice(index_), "cudaSetDevice");
  }

  absl::StatusOr<std::unique_ptr<Stream>> CreateStream(
      ops::StreamKind kind) override {
    // What other devices wait for goes first.
    const bool urgent = kind == ops::StreamKind::kCommunication;
    ASSIGN_OR_RETURN(std::unique_ptr<ops::CudaContext> context,
                     ops::CudaContext::Create(index_, urgent));
    return std::make_unique<CudaStream>(std::move(context));
  }

  absl::StatusOr<std::vector<std::unique_ptr<Communicator>>>
  CreateCommunicators(absl::Span<Device* const> group,
                      const RankPlaces& places) override {
    std::vector<int> devices;
    for (Device* device : group) {
      devices.push_back(
          device == nullptr ? -1 : static_cast<CudaDevice*>(device)->index_);
    }
    return CreateNcclCommunicators(devices, places);
  }

  absl::Status CopyToHost(const void* device, void* host,
                          int64_t size_bytes) override {
    return Copy(device, host, size_bytes, cudaMemcpyDeviceToHost);
  }
  absl::Status CopyFromHost(const void* host, void* device,
                            int64_t size_bytes) override {
    return Copy(host, device, size_bytes, cudaMemcpyHostToDevice);
  }

 private:
  absl::Status Copy(const void* from, void* to, int64_t size_bytes,
                    cudaMemcpyKind kind) {
    if (size_bytes == 0) return absl::OkStatus();
    // The streams do not wait for cudaMemcpy's, nor it for them. It returns
    // when the bytes have left the host; they may not have arrived.
    RETURN_IF_ERROR(Synchronize());
    RETURN_IF_ERROR(
        Named(cudaMemcpy(to, from, size_bytes, kind), "cudaMemcpy"));
    return Synchronize();
  }

  // For calls that belong to no task and no stream.
  absl::Status Named(cudaError_t error, absl::string_view call) const {
    const absl::Status status = ops::ToStatus(error, call);
    if (status.ok()) return status;
    return absl::Status(status.code(),
                        absl::StrCat(name_, ": ", status.message()));
  }

  const int index_;
  const std::string name_;
};

// Loading a kernel when it first runs waits for the device, which may be in a
// collective that waits for a device whose thread waits for the same: all are
// loaded when CUDA starts.
void LoadKernelsEarly() { setenv("CUDA_MODULE_LOADING", "EAGER", 0); }

std::string VersionText(int version) {
  return absl::StrCat(version / 1000, ".", version % 1000 / 10);
}

absl::StatusOr<int> CountCudaDevices() {
  LoadKernelsEarly();
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    int driver = 0, runtime = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    if (driver == 0) return 0;  // No driver: no device.
    return absl::FailedPreconditionError(absl::StrCat(
        "the NVIDIA driver is for CUDA ", VersionText(driver),
        ", this program for ", VersionText(runtime),
        ": update the driver, or build with an older toolkit (CUDA_HOME)"));
  }
  if (error == cudaErrorNoDevice) return 0;
  RETURN_IF_ERROR(ops::ToStatus(error, "cudaGetDeviceCount"));
  return count;
}

absl::StatusOr<int> Attribute(cudaDeviceAttr attribute, int device) {
  int value = 0;
  RETURN_IF_CUDA_ERROR(cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}

absl::StatusOr<CudaDeviceInfo> Describe(int device) {
  cudaDeviceProp properties;
  RETURN_IF_CUDA_ERROR(cudaGetDeviceProperties(&properties, device));
  CudaDeviceInfo info;
  info.name = properties.name;
  char bus_id[32] = "";
  RETURN_IF_CUDA_ERROR(cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), device));
  info.pci_bus_id = bus_id;
  info.compute_capability = 10 * properties.major + properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  info.cudnn_version = static_cast<int64_t>(cudnnGetVersion());
  info.cublas_version = static_cast<int64_t>(cublasLtGetVersion());
  RETURN_IF_CUDA_ERROR(cudaSetDevice(device));
  size_t free_bytes = 0, total_bytes = 0;
  RETURN_IF_CUDA_ERROR(cudaMemGetInfo(&free_bytes, &total_bytes));
  info.free_bytes = static_cast<int64_t>(free_bytes);
  info.memory_bytes = static_cast<int64_t>(total_bytes);
  // The properties have the clocks no more since CUDA 13.
  ASSIGN_OR_RETURN(const int kilohertz,
                   Attribute(cudaDevAttrClockRate, device));
  ASSIGN_OR_RETURN(const int memory_kilohertz,
                   Attribute(cudaDevAttrMemoryClockRate, device));
  ASSIGN_OR_RETURN(const int bus_bits,
                   Attribute(cudaDevAttrGlobalMemoryBusWidth, device));
  info.clock_hertz = kilohertz * 1e3;
  // Two transfers per cycle.
  info.memory_bytes_per_second = 2e3 * memory_kilohertz * (bus_bits / 8.0);
  return info;
}

// NCCL asks for it, too, but only where it uses it.
absl::Status LetPeersMeet(int first, int count) {
  for (int device = first; device < first + count; ++device) {
    RETURN_IF_CUDA_ERROR(cudaSetDevice(device));
    for (int peer = first; peer < first + count; ++peer) {
      int can = 0;
      if (peer == device) continue;
      RETURN_IF_CUDA_ERROR(cudaDeviceCanAccessPeer(&can, device, peer));
      if (can == 0) continue;
      const cudaError_t error = cudaDeviceEnablePeerAccess(peer, /*flags=*/0);
      if (error == cudaErrorPeerAccessAlreadyEnabled) {
        (void)cudaGetLastError();  // It is kept otherwise.
        continue;
      }
      RETURN_IF_ERROR(ops::ToStatus(error, "cudaDeviceEnablePeerAccess"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<CudaDeviceInfo>> CudaDevices() {
  ASSIGN_OR_RETURN(const int count, CountCudaDevices());
  std::vector<CudaDeviceInfo> devices;
  for (int device = 0; device < count; ++device) {
    ASSIGN_OR_RETURN(devices.emplace_back(), Describe(device));
  }
  return devices;
}

absl::StatusOr<std::vector<std::unique_ptr<Device>>> CreateCudaDevices(
    int count, int first) {
  ASSIGN_OR_RETURN(const int available, CountCudaDevices());
  if (count < 1 || first < 0 || count > available - first) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot use ", count, " CUDA devices",
        first == 0 ? "" : absl::StrCat(" behind the first ", first),
        ": this machine has ",
        available == 0 ? "none" : absl::StrCat(available)));
  }
  RETURN_IF_ERROR(LetPeersMeet(first, count));
  std::vector<std::unique_ptr<Device>> devices;
  for (int i = first; i < first + count; ++i) {
    devices.push_back(std::make_unique<CudaDevice>(i));
  }
  return devices;
}

}  // namespace facet::runtime
