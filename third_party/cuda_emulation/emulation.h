// What stands behind the emulated CUDA API and is not part of it: how kernels
// and library calls enter a stream, how they reach device memory, and the
// controls that tests have.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_EMULATION_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_EMULATION_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cuda_runtime.h"

namespace cuda_emulation {

// ---- Work -----------------------------------------------------------------

// A range of device memory that a piece of work reads, or reads and writes.
struct Access {
  const void* data = nullptr;
  int64_t size_bytes = 0;
  bool writes = false;
};

// Puts `work` at the end of the stream. The accesses are compared with those
// of all earlier work: where one of two writes, and neither is known to end
// before the other begins, that is a violation, whatever happens at run time.
// When the work begins, they must lie within live allocations. `name` is for
// messages.
cudaError_t Enqueue(const char* name, cudaStream_t stream,
                    const std::vector<Access>& accesses,
                    std::function<void()> work);

// The same for a kernel: `body` runs once per thread of the grid.
cudaError_t LaunchKernel(dim3 grid, dim3 block, size_t shared_bytes,
                         cudaStream_t stream,
                         const std::vector<Access>& accesses,
                         std::function<void()> body);

// The block's dynamic shared memory: NaN (-1) before the block writes it.
void* DynamicSharedMemory();

// ---- Memory ---------------------------------------------------------------

// The addresses of device memory belong to no memory of the host: host code
// that uses one ends with a segmentation fault. The bytes lie elsewhere:
//   storage = address + storage_offset
//   written = address + written_offset: 1 for each byte that was written
struct AddressSpace {
  char* begin = nullptr;
  int64_t size_bytes = 0;
  intptr_t storage_offset = 0;
  intptr_t written_offset = 0;
};
const AddressSpace& Addresses();

// For work: where the bytes are. Checks nothing.
template <typename T>
T* Storage(T* device) {
  return reinterpret_cast<T*>(reinterpret_cast<intptr_t>(device) +
                              Addresses().storage_offset);
}

bool IsWritten(const void* device, int64_t size_bytes);
void MarkWritten(const void* device, int64_t size_bytes);
// `to` is as written as `from` is.
void CopyWritten(const void* from, void* to, int64_t size_bytes);
// A violation, if the bytes were not all written. `what` is for the message.
void ExpectWritten(const char* what, const void* device, int64_t size_bytes);

// ---- Violations -----------------------------------------------------------

// What a GPU would suffer in silence, or crash on. The first one is kept, goes
// to stderr and fails every later call with cudaErrorIllegalAddress, whose
// cudaGetErrorString it then is; inside a kernel the block and thread are
// added. Thread-safe.
void Violation(const std::string& what);
bool HasViolation();
// The first violation since the last call ("" if none), and forgets it.
std::string TakeViolation();

// ---- Controls of tests ----------------------------------------------------

// The machine that is emulated; 4 devices of 16 GiB at the start. Not while
// anything runs.
void SetDeviceCount(int count);
void SetDeviceMemoryBytes(int64_t size_bytes);
// As cudaDriverGetVersion gives it (13000); one older than the runtime makes
// every call fail with cudaErrorInsufficientDriver.
void SetDriverVersion(int version);
// Every later call fails with this, as after a hardware error; cudaSuccess
// ends it.
void InjectError(cudaError_t error);

}  // namespace cuda_emulation

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_EMULATION_H_
