#include "third_party/cuda_emulation/stream.h"

#include <string>
#include <utility>
#include <vector>

#include "third_party/cuda_emulation/grid.h"
#include "third_party/cuda_emulation/machine.h"
#include "third_party/cuda_emulation/memory.h"

namespace cuda_emulation {
namespace {

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

}  // namespace

thread_local CUstream_st* captured_stream = nullptr;

std::shared_ptr<Recording> RecordLocked(CUstream_st* stream) {
  auto recording = std::make_shared<Recording>(*stream->clock());
  stream->Push([recording] { recording->Set(); });
  return recording;
}

bool SpoilsCapture(CUstream_st* stream) {
  if (stream->capture == nullptr) return false;
  stream->capture->is_valid = false;
  return true;
}

bool SpoilsThreadsCapture() {
  return captured_stream != nullptr && SpoilsCapture(captured_stream);
}

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

}  // namespace cuda_emulation

using cuda_emulation::machine;
using cuda_emulation::Return;

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
