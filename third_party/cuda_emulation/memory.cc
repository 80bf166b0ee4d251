#include "third_party/cuda_emulation/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace cuda_emulation {
namespace {

constexpr int64_t kDeviceBytes = int64_t{16} << 30;
constexpr int64_t kPage = 4096;

// Of the machine's memory only what is touched is taken.
char* Reserve(int64_t size_bytes, int protection) {
  void* data = mmap(nullptr, size_bytes, protection,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    std::perror("the emulated devices' address space");
    std::abort();
  }
  return static_cast<char*>(data);
}

char* Written(const void* device) {
  return reinterpret_cast<char*>(reinterpret_cast<intptr_t>(device) +
                                 Addresses().written_offset);
}

int64_t RoundUp(int64_t size_bytes) {
  return (size_bytes + kPage - 1) / kPage * kPage;
}

}  // namespace

const AddressSpace& Addresses() {
  static const AddressSpace space = [] {
    AddressSpace s;
    s.size_bytes = kDeviceBytes * kMaxDevices;
    s.begin = Reserve(s.size_bytes, PROT_NONE);
    s.storage_offset = Reserve(s.size_bytes, PROT_READ | PROT_WRITE) - s.begin;
    s.written_offset = Reserve(s.size_bytes, PROT_READ | PROT_WRITE) - s.begin;
    return s;
  }();
  return space;
}

bool IsWritten(const void* device, int64_t size_bytes) {
  const char* flags = Written(device);
  return std::all_of(flags, flags + size_bytes,
                     [](char flag) { return flag != 0; });
}

void MarkWritten(const void* device, int64_t size_bytes) {
  std::memset(Written(device), 1, size_bytes);
}

void CopyWritten(const void* from, void* to, int64_t size_bytes) {
  std::memmove(Written(to), Written(from), size_bytes);
}

void ExpectWritten(const char* what, const void* device, int64_t size_bytes) {
  const char* flags = Written(device);
  const char* bad = std::find(flags, flags + size_bytes, 0);
  if (bad == flags + size_bytes) return;
  Violation(std::string(what) +
            " reads device memory that nobody wrote: byte " +
            std::to_string(bad - flags) + " of " + std::to_string(size_bytes));
}

DeviceMemory& DeviceMemory::Get() {
  static DeviceMemory& memory = *new DeviceMemory;
  return memory;
}

DeviceMemory::DeviceMemory() : total_bytes_(kDeviceBytes) {
  for (int d = 0; d < kMaxDevices; ++d) {
    next_[d] = Addresses().begin + d * kDeviceBytes;
  }
}

void* DeviceMemory::Allocate(int device, int64_t size_bytes) {
  const int64_t used = used_bytes(device);
  std::lock_guard<std::mutex> lock(mutex_);
  if (size_bytes > total_bytes_ - used) return nullptr;
  char* const begin = Addresses().begin + device * kDeviceBytes;
  char* const end = begin + kDeviceBytes;
  const int64_t extent = RoundUp(std::max<int64_t>(size_bytes, 1)) + kPage;
  std::map<char*, int64_t>& allocations = allocations_[device];
  char* place = next_[device];
  for (bool wrapped = false;;) {
    // The first allocation that ends after `place` is in the way, if any.
    auto it = allocations.upper_bound(place);
    if (it != allocations.begin() &&
        std::prev(it)->first + RoundUp(std::prev(it)->second) + kPage > place) {
      --it;
    }
    const bool blocked = it != allocations.end() && it->first < place + extent;
    if (place + extent > end) {
      if (wrapped) return nullptr;
      wrapped = true;
      place = begin;
    } else if (blocked) {
      place = it->first + RoundUp(std::max<int64_t>(it->second, 1)) + kPage;
    } else {
      break;
    }
  }
  allocations[place] = size_bytes;
  next_[device] = place + extent;
  return place;
}

int64_t DeviceMemory::Free(void* data) {
  if (!IsDeviceAddress(data)) return -1;
  std::lock_guard<std::mutex> lock(mutex_);
  std::map<char*, int64_t>& allocations = allocations_[DeviceOf(data)];
  auto it = allocations.find(static_cast<char*>(data));
  if (it == allocations.end()) return -1;
  const int64_t size_bytes = it->second;
  // Gives the pages back; they are zero, "not written", when used again.
  const int64_t extent = RoundUp(std::max<int64_t>(it->second, 1));
  madvise(Storage(it->first), extent, MADV_DONTNEED);
  madvise(Written(it->first), extent, MADV_DONTNEED);
  allocations.erase(it);
  return size_bytes;
}

bool DeviceMemory::IsAllocated(const void* data, int64_t size_bytes) {
  if (!IsDeviceAddress(data)) return false;
  std::lock_guard<std::mutex> lock(mutex_);
  const std::map<char*, int64_t>& allocations = allocations_[DeviceOf(data)];
  auto* address = const_cast<char*>(static_cast<const char*>(data));
  auto it = allocations.upper_bound(address);
  if (it == allocations.begin()) return false;
  --it;
  return address + size_bytes <= it->first + it->second;
}

bool DeviceMemory::IsDeviceAddress(const void* data) const {
  const char* address = static_cast<const char*>(data);
  return address >= Addresses().begin &&
         address < Addresses().begin + Addresses().size_bytes;
}

int DeviceMemory::DeviceOf(const void* data) const {
  return static_cast<int>((static_cast<const char*>(data) - Addresses().begin) /
                          kDeviceBytes);
}

int64_t DeviceMemory::used_bytes(int device) {
  std::lock_guard<std::mutex> lock(mutex_);
  int64_t used = 0;
  for (const auto& [data, size_bytes] : allocations_[device]) {
    used += size_bytes;
  }
  return used;
}

}  // namespace cuda_emulation
