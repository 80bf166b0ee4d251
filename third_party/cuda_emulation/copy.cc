// Memory of devices, pinned memory of the host, and copies.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "third_party/cuda_emulation/emulation.h"
#include "third_party/cuda_emulation/machine.h"
#include "third_party/cuda_emulation/memory.h"
#include "third_party/cuda_emulation/stream.h"

namespace cuda_emulation {
namespace {

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

}  // namespace
}  // namespace cuda_emulation

using cuda_emulation::machine;
using cuda_emulation::Return;

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
