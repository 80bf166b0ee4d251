// How much memory this machine can give this process, and how much it took.
#ifndef FACET_RUNTIME_DEVICE_HOST_MEMORY_H_
#define FACET_RUNTIME_DEVICE_HOST_MEMORY_H_

#include <cstdint>

namespace facet::runtime {

// Bytes that can still be used without swapping: MemAvailable of
// /proc/meminfo, or what the cgroup leaves if that is less. 0: unknown.
int64_t AvailableHostMemoryBytes();

// The most resident memory this process has had (VmHWM). 0: unknown.
int64_t ProcessPeakBytes();

// The resident memory this process has now (VmRSS). 0: unknown.
int64_t ProcessResidentBytes();

// Bytes of [data, data + size) that are resident: pages that were touched.
int64_t ResidentBytes(const void* data, int64_t size_bytes);

// For programs that compile and no more; called first in main. A compilation
// allocates and frees some 100 MiB in small pieces: to give memory back and
// take it again, and to get it in pages of 4 KiB, would cost half of its time.
// After this the heap keeps what it has, and its first 512 MiB are of huge
// pages where the system has any to give (transparent_hugepage: always or
// madvise).
void KeepHeapInHugePages();

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_DEVICE_HOST_MEMORY_H_
