#include "third_party/cuda_emulation/machine.h"

#include <cstdio>
#include <string>
#include <utility>

#include "third_party/cuda_emulation/emulation.h"
#include "third_party/cuda_emulation/grid.h"

namespace cuda_emulation {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

thread_local Clock host_clock;
thread_local int current_device = 0;

Machine& machine() {
  static Machine& m = *new Machine;
  return m;
}

cudaError_t Return(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

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

bool IsPinnedLocked(const Machine& m, const void* data, size_t size_bytes) {
  const char* address = static_cast<const char*>(data);
  auto it = m.pinned.upper_bound(address);
  if (it == m.pinned.begin()) return false;
  --it;
  return address + size_bytes <= it->first + it->second;
}

void Violation(const std::string& what) {
  const std::string where = CurrentThread();
  Machine& m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  ViolationLocked(m, where + what);
}

bool HasViolation() { return machine().failed.load(); }

}  // namespace cuda_emulation

using cuda_emulation::machine;

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
    case cudaErrorECCUncorrectable:
      return "cudaErrorECCUncorrectable";
    case cudaErrorNvlinkUncorrectable:
      return "cudaErrorNvlinkUncorrectable";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchTimeout:
      return "cudaErrorLaunchTimeout";
    case cudaErrorPeerAccessAlreadyEnabled:
      return "cudaErrorPeerAccessAlreadyEnabled";
    case cudaErrorAssert:
      return "cudaErrorAssert";
    case cudaErrorHardwareStackError:
      return "cudaErrorHardwareStackError";
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
