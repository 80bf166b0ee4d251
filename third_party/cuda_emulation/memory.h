// Device memory of the emulated machine: which addresses are allocated.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_MEMORY_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_MEMORY_H_

#include <cstdint>
#include <map>
#include <mutex>

#include "third_party/cuda_emulation/emulation.h"

namespace cuda_emulation {

inline constexpr int kMaxDevices = 8;

// Thread-safe. Addresses are not given out again until all others were, so
// that a use after free shows.
class DeviceMemory {
 public:
  static DeviceMemory& Get();

  // Page-aligned, with unallocated pages before the next; nullptr: exhausted.
  void* Allocate(int device, int64_t size_bytes);
  // Its size; -1 if it is not the beginning of an allocation.
  int64_t Free(void* data);
  // True if the whole range lies in one live allocation.
  bool IsAllocated(const void* data, int64_t size_bytes);
  bool IsDeviceAddress(const void* data) const;
  int DeviceOf(const void* data) const;  // Of a device address.
  int64_t used_bytes(int device);
  int64_t total_bytes() const { return total_bytes_; }
  void set_total_bytes(int64_t bytes) { total_bytes_ = bytes; }

 private:
  DeviceMemory();

  std::mutex mutex_;
  int64_t total_bytes_;
  // By device; guarded by mutex_, as is the next.
  std::map<char*, int64_t> allocations_[kMaxDevices];
  char* next_[kMaxDevices] = {};
};

}  // namespace cuda_emulation

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_MEMORY_H_
