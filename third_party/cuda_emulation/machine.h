// What all of the emulated API shares: the machine's state, and its errors.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_MACHINE_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_MACHINE_H_

#include <atomic>
#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "cuda_runtime.h"
#include "third_party/cuda_emulation/ordering.h"

namespace cuda_emulation {

// The id of CUDA's default stream: copies that name no stream are its work.
inline constexpr int kHostStream = 0;

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

Machine& machine();

// Of the calling host thread: what it knows to have ended, and its device.
extern thread_local Clock host_clock;
extern thread_local int current_device;

// What an API function returns: the thread's last error is this, if it is one.
cudaError_t Return(cudaError_t error);

// What is wrong with the machine, whatever is called. "Locked" here and
// elsewhere: the caller holds the machine's mutex.
cudaError_t StateLocked(const Machine& m);
cudaError_t State();

void ViolationLocked(Machine& m, const std::string& what);

// Whether all of this lies in one allocation of cudaMallocHost.
bool IsPinnedLocked(const Machine& m, const void* data, size_t size_bytes);

}  // namespace cuda_emulation

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_MACHINE_H_
