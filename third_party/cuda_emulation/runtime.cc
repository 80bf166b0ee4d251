// The emulated CUDA runtime API: devices, streams, events, copies.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "third_party/cuda_emulation/emulation.h"
#include "third_party/cuda_emulation/grid.h"
#include "third_party/cuda_emulation/memory.h"
#include "third_party/cuda_emulation/ordering.h"

namespace cuda_emulation {
namespace {

// One recording of an event: set when its stream gets there.
class Recording {
 public:
  explicit Recording(Clock clock) : clock_(std::move(clock)) {}

  const Clock& clock() const { return clock_; }
  std::chrono::steady_clock::time_point time() const { return time_; }
  void Set() {
    std::lock_guard<std::mutex> lock(mutex_);
    time_ = std::chrono::steady_clock::now();
    is_set_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return is_set_; });
  }
  bool is_set() {
    std::lock_guard<std::mutex> lock(mutex_);
    return is_set_;
  }

 private:
  const Clock clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::chrono::steady_clock::time_point time_;
  bool is_set_ = false;
};

// What the calling host thread knows to have ended.
thread_local Clock host_clock;
thread_local int current_device = 0;

// The number of CUDA's default stream: copies that name no stream are its work.
constexpr int kHostStream = 0;

struct Machine {
  std::mutex mutex;
  int device_count = 4;  // Guarded by mutex, as are the next.
  int driver_version = 13000;
  cudaError_t injected = cudaSuccess;
  std::string violation;
  int next_stream = kHostStream + 1;
  std::set<CUstream_st*> streams;
  AccessHistory history;
  Clock host_stream;  // Of kHostStream's work, ended or not.
  // What every host thread knows: set by those that waited for a device.
  Clock known_to_all;
  std::map<const char*, size_t> pinned;  // Host memory.
  std::atomic<bool> failed{false};       // There is a violation.
};

Machine& machine() {
  static Machine& m = *new Machine;
  return m;
}

thread_local cudaError_t last_error = cudaSuccess;

cudaError_t Return(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

// What is wrong with the machine, whatever is called.
cudaError_t StateLocked(const Machine& m) {
  if (m.driver_version < CUDART_VERSION) return cudaErrorInsufficientDriver;
  if (m.device_count == 0) return cudaErrorNoDevice;
  if (m.injected != cudaSuccess) return m.injected;
  if (!m.violation.empty()) return cudaErrorIllegalAddress;
  return cudaSuccess;
}

cudaError_t State() {
  Machine& m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  return StateLocked(m);
}

void ViolationLocked(Machine& m, const std::string& what) {
  if (!m.violation.empty()) return;
  m.violation = what;
  m.failed.store(true);
  std::fprintf(stderr, "emulated CUDA: %s\n", what.c_str());
}

}  // namespace
}  // namespace cuda_emulation

// Calls of EnqueueOn, to be made again.
struct CUgraph_st {
  struct Node {
    const char* name;
    int device;
    std::vector<cuda_emulation::Access> accesses;
    std::function<void()> work;
  };
  std::vector<Node> nodes;
  bool is_valid = true;
};

struct CUgraphExec_st {
  std::vector<CUgraph_st::Node> nodes;
};

// An in-order queue and the thread that works on it.
struct CUstream_st {
 public:
  CUstream_st(int id, int device)
      : id_(id), device_(device), thread_([this] { Main(); }) {}
  ~CUstream_st() {
    Push(nullptr);
    thread_.join();
  }

  int id() const { return id_; }
  int device() const { return device_; }
  // Guarded by the machine's mutex.
  cuda_emulation::Clock* clock() { return &clock_; }

  // What is collected instead of done; null: nothing is. Of the thread that
  // uses the stream.
  CUgraph_st* capture = nullptr;

  // An empty one ends the thread.
  void Push(std::function<void()> work) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(std::move(work));
      ++pushed_;
    }
    changed_.notify_all();
  }

  bool idle() {
    std::lock_guard<std::mutex> lock(mutex_);
    return done_ == pushed_;
  }
  uint64_t pushed() {
    std::lock_guard<std::mutex> lock(mutex_);
    return pushed_;
  }
  // Until so many pieces of work are done, of all that were pushed.
  void WaitUntilDone(uint64_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return done_ >= count; });
  }

 private:
  void Main() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return !queue_.empty(); });
      if (!queue_.front()) return;
      std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
      ++done_;
      changed_.notify_all();
    }
  }

  const int id_;
  const int device_;
  cuda_emulation::Clock clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_, as are the next.
  std::deque<std::function<void()>> queue_;
  uint64_t pushed_ = 0;
  uint64_t done_ = 0;
  std::thread thread_;
};

struct CUevent_st {
  int device = 0;
  bool timing = false;
  // Null until the first. Guarded by the machine's mutex.
  std::shared_ptr<cuda_emulation::Recording> recording;
};

namespace cuda_emulation {
namespace {

std::shared_ptr<Recording> RecordLocked(CUstream_st* stream) {
  auto recording = std::make_shared<Recording>(*stream->clock());
  stream->Push([recording] { recording->Set(); });
  return recording;
}

// Waits until the stream has done what is in it now.
void Drain(CUstream_st* stream, Clock* known) {
  Clock clock;
  uint64_t pushed = 0;
  {
    std::lock_guard<std::mutex> lock(machine().mutex);
    clock = *stream->clock();
    pushed = stream->pushed();
  }
  stream->WaitUntilDone(pushed);
  known->Join(clock);
}

// What a capture does not take: it is of no use any more.
bool SpoilsCapture(CUstream_st* stream) {
  if (stream->capture == nullptr) return false;
  stream->capture->is_valid = false;
  return true;
}

// The stream that this thread captures; null: none.
thread_local CUstream_st* captured_stream = nullptr;

// The same of calls that name no stream: they wait or allocate.
bool SpoilsThreadsCapture() {
  return captured_stream != nullptr && SpoilsCapture(captured_stream);
}

// All streams of a device; every host thread knows of it afterwards.
void DrainDevice(int device) {
  Machine& m = machine();
  std::vector<std::shared_ptr<Recording>> recordings;
  {
    std::lock_guard<std::mutex> lock(m.mutex);
    for (CUstream_st* stream : m.streams) {
      if (stream->device() == device)
        recordings.push_back(RecordLocked(stream));
    }
  }
  for (const auto& recording : recordings) recording->Wait();
  std::lock_guard<std::mutex> lock(m.mutex);
  for (const auto& recording : recordings) {
    m.known_to_all.Join(recording->clock());
  }
  m.known_to_all.Join(m.host_stream, kHostStream);
}

bool IsPinnedLocked(const Machine& m, const void* data, size_t size_bytes) {
  const char* address = static_cast<const char*>(data);
  auto it = m.pinned.upper_bound(address);
  if (it == m.pinned.begin()) return false;
  --it;
  return address + size_bytes <= it->first + it->second;
}

// When the work begins. Empty if all is well.
std::string CheckAccesses(const char* name, int device,
                          const std::vector<Access>& accesses) {
  DeviceMemory& memory = DeviceMemory::Get();
  Machine& m = machine();
  for (const Access& access : accesses) {
    if (access.size_bytes <= 0) continue;
    const std::string what = std::string(name) +
                             (access.writes ? " writes " : " reads ") +
                             std::to_string(access.size_bytes) + " bytes of ";
    if (!memory.IsDeviceAddress(access.data)) {
      std::lock_guard<std::mutex> lock(m.mutex);
      if (!IsPinnedLocked(m, access.data, access.size_bytes)) {
        return what + "host memory that is not pinned";
      }
    } else if (!memory.IsAllocated(access.data, access.size_bytes)) {
      return what + "device memory that is not, or no more, allocated";
    } else if (device >= 0 && memory.DeviceOf(access.data) != device) {
      return what + "device " + std::to_string(memory.DeviceOf(access.data)) +
             " on device " + std::to_string(device);
    }
  }
  return "";
}

// The bytes of a copy, by host or device address.
template <typename T>
T* Bytes(T* data) {
  return DeviceMemory::Get().IsDeviceAddress(data) ? Storage(data) : data;
}

void Copy(void* to, const void* from, size_t size_bytes) {
  if (size_bytes == 0) return;
  DeviceMemory& memory = DeviceMemory::Get();
  const bool from_device = memory.IsDeviceAddress(from);
  const bool to_device = memory.IsDeviceAddress(to);
  if (from_device && !to_device) {
    ExpectWritten("a copy to the host", from, size_bytes);
  }
  if (to_device) {
    if (from_device) {
      CopyWritten(from, to, size_bytes);
    } else {
      MarkWritten(to, size_bytes);
    }
  }
  std::memmove(Bytes(to), Bytes(from), size_bytes);
}

// `device`: -1 if the memory may be of any.
cudaError_t EnqueueOn(const char* name, CUstream_st* stream, int device,
                      const std::vector<Access>& accesses,
                      std::function<void()> work) {
  if (stream == nullptr) return Return(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) {
    stream->capture->nodes.push_back({name, device, accesses, std::move(work)});
    return Return(State());
  }
  Machine& m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  if (cudaError_t error = StateLocked(m); error != cudaSuccess) {
    return Return(error);
  }
  stream->clock()->Join(host_clock);
  stream->clock()->Join(m.known_to_all);
  stream->clock()->Tick(stream->id());
  const std::string conflict =
      m.history.Add(name, stream->id(), *stream->clock(), accesses);
  if (!conflict.empty()) {
    ViolationLocked(m, conflict);
    return Return(cudaErrorIllegalAddress);
  }
  stream->Push([name, device, accesses, work = std::move(work)] {
    // After a violation nothing can be trusted; streams still drain.
    if (machine().failed.load()) return;
    const std::string wrong = CheckAccesses(name, device, accesses);
    if (wrong.empty()) {
      work();
    } else {
      Violation(wrong);
    }
  });
  return cudaSuccess;
}

}  // namespace

cudaError_t Enqueue(const char* name, cudaStream_t stream,
                    const std::vector<Access>& accesses,
                    std::function<void()> work) {
  if (stream == nullptr || stream->device() != current_device) {
    return Return(cudaErrorInvalidResourceHandle);
  }
  return EnqueueOn(name, stream, stream->device(), accesses, std::move(work));
}

cudaError_t LaunchKernel(dim3 grid, dim3 block, size_t shared_bytes,
                         cudaStream_t stream,
                         const std::vector<Access>& accesses,
                         std::function<void()> body) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  if (threads == 0 || threads > 1024 || block.z > 64 || blocks == 0 ||
      grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) {
    return Return(cudaErrorInvalidConfiguration);
  }
  if (shared_bytes > 48 * 1024) return Return(cudaErrorInvalidValue);
  return Enqueue("a kernel", stream, accesses,
                 [=] { RunGrid(grid, block, shared_bytes, body); });
}

void Violation(const std::string& what) {
  const std::string where = CurrentThread();
  Machine& m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  ViolationLocked(m, where + what);
}

bool HasViolation() { return machine().failed.load(); }

std::string TakeViolation() {
  for (int d = 0; d < kMaxDevices; ++d) DrainDevice(d);
  Machine& m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  m.failed.store(false);
  return std::exchange(m.violation, "");
}

void SetDeviceCount(int count) {
  Machine& m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  m.device_count = std::min(count, kMaxDevices);
}

void SetDeviceMemoryBytes(int64_t size_bytes) {
  DeviceMemory::Get().set_total_bytes(size_bytes);
}

void SetDriverVersion(int version) {
  Machine& m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  m.driver_version = version;
}

void InjectError(cudaError_t error) {
  Machine& m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  m.injected = error;
}

}  // namespace cuda_emulation

using cuda_emulation::machine;
using cuda_emulation::Return;

// ---- Devices --------------------------------------------------------------

cudaError_t cudaDriverGetVersion(int* version) {
  std::lock_guard<std::mutex> lock(machine().mutex);
  *version = machine().driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  std::lock_guard<std::mutex> lock(machine().mutex);
  *count = machine().device_count;
  const cudaError_t state = cuda_emulation::StateLocked(machine());
  return Return(state);
}

cudaError_t cudaGetDevice(int* device) {
  *device = cuda_emulation::current_device;
  return Return(cuda_emulation::State());
}

cudaError_t cudaSetDevice(int device) {
  {
    std::lock_guard<std::mutex> lock(machine().mutex);
    if (device < 0 || device >= machine().device_count) {
      return Return(cudaErrorInvalidDevice);
    }
  }
  cuda_emulation::current_device = device;
  return Return(cuda_emulation::State());
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = cudaDeviceProp();
  std::snprintf(properties->name, sizeof(properties->name),
                "emulated device %d", device);
  properties->totalGlobalMem =
      cuda_emulation::DeviceMemory::Get().total_bytes();
  properties->major = 8;
  properties->minor = 0;
  // Few: a grid that is limited to them is worked off by one thread.
  properties->multiProcessorCount = 2;
  return Return(cuda_emulation::State());
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute,
                                   int /*device*/) {
  // Those of a small GPU.
  switch (attribute) {
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
      *value = 1'000'000;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = 256;
      break;
  }
  return Return(cuda_emulation::State());
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  std::snprintf(id, length, "0000:%02x:00.0", device);
  return Return(cuda_emulation::State());
}

cudaError_t cudaDeviceSynchronize() {
  if (cuda_emulation::SpoilsThreadsCapture()) {
    return Return(cudaErrorStreamCaptureUnsupported);
  }
  cuda_emulation::DrainDevice(cuda_emulation::current_device);
  return Return(cuda_emulation::State());
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return Return(cuda_emulation::State());
}

cudaError_t cudaDeviceEnablePeerAccess(int, unsigned int) {
  return Return(cudaErrorInvalidDevice);
}

// ---- Memory ---------------------------------------------------------------

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  cuda_emulation::DeviceMemory& memory = cuda_emulation::DeviceMemory::Get();
  *total_bytes = memory.total_bytes();
  *free_bytes =
      memory.total_bytes() - memory.used_bytes(cuda_emulation::current_device);
  return Return(cuda_emulation::State());
}

cudaError_t cudaMalloc(void** data, size_t size_bytes) {
  *data = nullptr;
  if (cuda_emulation::SpoilsThreadsCapture()) {
    return Return(cudaErrorStreamCaptureUnsupported);
  }
  if (cudaError_t e = cuda_emulation::State(); e != cudaSuccess) {
    return Return(e);
  }
  if (size_bytes == 0) return cudaSuccess;
  *data = cuda_emulation::DeviceMemory::Get().Allocate(
      cuda_emulation::current_device, size_bytes);
  return Return(*data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaFree(void* data) {
  if (data == nullptr) return cudaSuccess;
  cuda_emulation::DeviceMemory& memory = cuda_emulation::DeviceMemory::Get();
  if (!memory.IsDeviceAddress(data)) return Return(cudaErrorInvalidValue);
  // As CUDA does: nothing of the device runs when its memory is freed.
  cuda_emulation::DrainDevice(memory.DeviceOf(data));
  const int64_t size_bytes = memory.Free(data);
  if (size_bytes < 0) return Return(cudaErrorInvalidValue);
  {
    std::lock_guard<std::mutex> lock(machine().mutex);
    machine().history.Forget(data, size_bytes);
  }
  return Return(cuda_emulation::State());
}

cudaError_t cudaMallocHost(void** data, size_t size_bytes) {
  *data = nullptr;
  if (cudaError_t e = cuda_emulation::State(); e != cudaSuccess) {
    return Return(e);
  }
  *data = std::aligned_alloc(4096, (size_bytes + 4095) / 4096 * 4096);
  std::lock_guard<std::mutex> lock(machine().mutex);
  machine().pinned[static_cast<char*>(*data)] = size_bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* data) {
  if (data == nullptr) return cudaSuccess;
  {
    std::lock_guard<std::mutex> lock(machine().mutex);
    auto it = machine().pinned.find(static_cast<char*>(data));
    if (it == machine().pinned.end()) return Return(cudaErrorInvalidValue);
    machine().history.Forget(data, static_cast<int64_t>(it->second));
    machine().pinned.erase(it);
  }
  std::free(data);
  return Return(cuda_emulation::State());
}

// Streams here are all non-blocking, as cudaStreamNonBlocking makes them: this
// waits for none of them, but its own end. The host side need not be pinned.
// From pageable memory to a device it returns when the bytes are staged: other
// streams may begin before they have arrived.
cudaError_t cudaMemcpy(void* to, const void* from, size_t size_bytes,
                       cudaMemcpyKind) {
  using cuda_emulation::Access;
  if (cudaError_t e = cuda_emulation::State(); e != cudaSuccess) {
    return Return(e);
  }
  if (size_bytes == 0) return cudaSuccess;
  cuda_emulation::DeviceMemory& memory = cuda_emulation::DeviceMemory::Get();
  const int64_t bytes = static_cast<int64_t>(size_bytes);
  std::vector<Access> accesses;
  if (memory.IsDeviceAddress(from)) accesses.push_back({from, bytes, false});
  if (memory.IsDeviceAddress(to)) accesses.push_back({to, bytes, true});
  const std::string wrong =
      cuda_emulation::CheckAccesses("cudaMemcpy", -1, accesses);
  if (!wrong.empty()) {
    cuda_emulation::Violation(wrong);
    return Return(cudaErrorIllegalAddress);
  }
  {
    cuda_emulation::Machine& m = machine();
    std::lock_guard<std::mutex> lock(m.mutex);
    cuda_emulation::Clock clock = cuda_emulation::host_clock;
    clock.Join(m.known_to_all);
    clock.Join(m.host_stream, cuda_emulation::kHostStream);
    clock.Tick(cuda_emulation::kHostStream);
    m.host_stream.Join(clock, cuda_emulation::kHostStream);
    const bool is_awaited = memory.IsDeviceAddress(from) ||
                            cuda_emulation::IsPinnedLocked(m, from, size_bytes);
    if (is_awaited) {
      m.known_to_all.Join(clock, cuda_emulation::kHostStream);
      cuda_emulation::host_clock.Join(m.known_to_all);
    }
    const std::string conflict = m.history.Add(
        "cudaMemcpy", cuda_emulation::kHostStream, clock, accesses);
    if (!conflict.empty()) {
      cuda_emulation::ViolationLocked(m, conflict);
      return Return(cudaErrorIllegalAddress);
    }
  }
  cuda_emulation::Copy(to, from, size_bytes);
  return Return(cuda_emulation::State());
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size_bytes,
                            cudaMemcpyKind, cudaStream_t stream) {
  const int64_t bytes = static_cast<int64_t>(size_bytes);
  return cuda_emulation::EnqueueOn(
      "cudaMemcpyAsync", stream, -1, {{from, bytes, false}, {to, bytes, true}},
      [=] { cuda_emulation::Copy(to, from, size_bytes); });
}

cudaError_t cudaMemsetAsync(void* data, int value, size_t size_bytes,
                            cudaStream_t stream) {
  return cuda_emulation::EnqueueOn(
      "cudaMemsetAsync", stream, -1,
      {{data, static_cast<int64_t>(size_bytes), true}}, [=] {
        std::memset(cuda_emulation::Storage(static_cast<char*>(data)), value,
                    size_bytes);
        cuda_emulation::MarkWritten(data, size_bytes);
      });
}

// ---- Streams --------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream,
                                      unsigned int flags) {
  *stream = nullptr;
  // A blocking one would wait for the default stream, which is not emulated.
  if (flags != cudaStreamNonBlocking) return Return(cudaErrorInvalidValue);
  std::lock_guard<std::mutex> lock(machine().mutex);
  const cudaError_t state = cuda_emulation::StateLocked(machine());
  if (state != cudaSuccess) return Return(state);
  *stream =
      new CUstream_st(machine().next_stream++, cuda_emulation::current_device);
  machine().streams.insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream,
                                         unsigned int flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -1;
  return Return(cuda_emulation::State());
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr) return Return(cudaErrorInvalidResourceHandle);
  {
    std::lock_guard<std::mutex> lock(machine().mutex);
    machine().streams.erase(stream);
  }
  delete stream;
  return Return(cuda_emulation::State());
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream == nullptr) {
    cuda_emulation::Machine& m = machine();
    std::lock_guard<std::mutex> lock(m.mutex);
    cuda_emulation::host_clock.Join(m.host_stream, cuda_emulation::kHostStream);
    return Return(cuda_emulation::StateLocked(m));
  }
  if (cuda_emulation::SpoilsCapture(stream)) {
    return Return(cudaErrorStreamCaptureUnsupported);
  }
  cuda_emulation::Drain(stream, &cuda_emulation::host_clock);
  return Return(cuda_emulation::State());
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (stream == nullptr) return Return(cudaErrorInvalidResourceHandle);
  if (!stream->idle()) return cudaErrorNotReady;
  return Return(cuda_emulation::State());
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event,
                                unsigned int) {
  if (stream == nullptr || event == nullptr) {
    return Return(cudaErrorInvalidResourceHandle);
  }
  if (cuda_emulation::SpoilsCapture(stream)) {
    return Return(cudaErrorStreamCaptureUnsupported);
  }
  std::lock_guard<std::mutex> lock(machine().mutex);
  if (event->recording != nullptr) {
    stream->clock()->Join(event->recording->clock());
    stream->Push([recording = event->recording] { recording->Wait(); });
  }
  return Return(cuda_emulation::StateLocked(machine()));
}

// Runs whatever happened before, as in CUDA; the function must not call CUDA.
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function,
                               void* data) {
  if (stream == nullptr) return Return(cudaErrorInvalidResourceHandle);
  if (cuda_emulation::SpoilsCapture(stream)) {
    return Return(cudaErrorStreamCaptureUnsupported);
  }
  std::lock_guard<std::mutex> lock(machine().mutex);
  const cudaError_t state = cuda_emulation::StateLocked(machine());
  if (state != cudaSuccess) return Return(state);
  stream->Push([=] { function(data); });
  return cudaSuccess;
}

// ---- Graphs ---------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr) return Return(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) return Return(cudaErrorIllegalState);
  stream->capture = new CUgraph_st;
  cuda_emulation::captured_stream = stream;
  return Return(cuda_emulation::State());
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (stream == nullptr || stream->capture == nullptr) {
    return Return(cudaErrorInvalidValue);
  }
  CUgraph_st* captured = std::exchange(stream->capture, nullptr);
  cuda_emulation::captured_stream = nullptr;
  if (!captured->is_valid) {
    delete captured;
    return Return(cudaErrorStreamCaptureInvalidated);
  }
  *graph = captured;
  return Return(cuda_emulation::State());
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable,
                                          cudaGraph_t graph,
                                          unsigned long long) {
  if (graph == nullptr) return Return(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{graph->nodes};
  return Return(cuda_emulation::State());
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (executable == nullptr || stream == nullptr) {
    return Return(cudaErrorInvalidResourceHandle);
  }
  for (const CUgraph_st::Node& node : executable->nodes) {
    const cudaError_t error = cuda_emulation::EnqueueOn(
        node.name, stream, node.device, node.accesses, node.work);
    if (error != cudaSuccess) return error;
  }
  return Return(cuda_emulation::State());
}

// ---- Events ---------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  *event = nullptr;
  const cudaError_t state = cuda_emulation::State();
  if (state != cudaSuccess) return Return(state);
  *event = new CUevent_st;
  (*event)->device = cuda_emulation::current_device;
  (*event)->timing = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event == nullptr) return Return(cudaErrorInvalidResourceHandle);
  delete event;
  return Return(cuda_emulation::State());
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (event == nullptr || stream == nullptr ||
      event->device != stream->device()) {
    return Return(cudaErrorInvalidResourceHandle);
  }
  if (cuda_emulation::SpoilsCapture(stream)) {
    return Return(cudaErrorStreamCaptureUnsupported);
  }
  std::lock_guard<std::mutex> lock(machine().mutex);
  event->recording = cuda_emulation::RecordLocked(stream);
  return Return(cuda_emulation::StateLocked(machine()));
}

namespace {

std::shared_ptr<cuda_emulation::Recording> RecordingOf(cudaEvent_t event) {
  std::lock_guard<std::mutex> lock(machine().mutex);
  return event->recording;
}

}  // namespace

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event == nullptr) return Return(cudaErrorInvalidResourceHandle);
  const auto recording = RecordingOf(event);
  if (recording != nullptr) {
    if (!recording->is_set()) return cudaErrorNotReady;
    cuda_emulation::host_clock.Join(recording->clock());
  }
  return Return(cuda_emulation::State());
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event == nullptr) return Return(cudaErrorInvalidResourceHandle);
  const auto recording = RecordingOf(event);
  if (recording != nullptr) {
    recording->Wait();
    cuda_emulation::host_clock.Join(recording->clock());
  }
  return Return(cuda_emulation::State());
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start,
                                 cudaEvent_t end) {
  const auto first = RecordingOf(start);
  const auto last = RecordingOf(end);
  if (first == nullptr || last == nullptr || !start->timing || !end->timing) {
    return Return(cudaErrorInvalidResourceHandle);
  }
  if (!first->is_set() || !last->is_set()) return Return(cudaErrorNotReady);
  *milliseconds =
      std::chrono::duration<float, std::milli>(last->time() - first->time())
          .count();
  return Return(cuda_emulation::State());
}

// ---- Errors ---------------------------------------------------------------

cudaError_t cudaGetLastError() {
  return std::exchange(cuda_emulation::last_error, cudaSuccess);
}

cudaError_t cudaPeekAtLastError() { return cuda_emulation::last_error; }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorPeerAccessAlreadyEnabled:
      return "cudaErrorPeerAccessAlreadyEnabled";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  if (error != cudaErrorIllegalAddress) return cudaGetErrorName(error);
  static thread_local std::string text;
  std::lock_guard<std::mutex> lock(machine().mutex);
  text = machine().violation.empty() ? "an illegal memory access"
                                     : machine().violation;
  return text.c_str();
}
