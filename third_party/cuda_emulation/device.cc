// Devices, and the controls that tests have.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <utility>

#include "cuda_runtime.h"
#include "third_party/cuda_emulation/emulation.h"
#include "third_party/cuda_emulation/machine.h"
#include "third_party/cuda_emulation/memory.h"
#include "third_party/cuda_emulation/stream.h"

namespace cuda_emulation {

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
