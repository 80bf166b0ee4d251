#include "runtime/device/host_memory.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace facet::runtime {
namespace {

// The number after "Key:" of a /proc file, in bytes (the file says kB).
int64_t ProcKilobytes(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(key + ":", 0) != 0) continue;
    std::istringstream rest(line.substr(key.size() + 1));
    int64_t kilobytes = 0;
    if (rest >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

// A file that holds one number; `missing` if it does not ("max", no file).
int64_t FileNumber(const std::string& path, int64_t missing) {
  std::ifstream file(path);
  int64_t value = 0;
  return (file >> value) ? value : missing;
}

// What the memory cgroups above this process leave (version 2).
int64_t CgroupAvailable() {
  constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  int64_t least = kUnlimited;
  while (std::getline(file, line)) {
    if (line.rfind("0::", 0) != 0) continue;
    std::string group = line.substr(3);
    for (;;) {
      const std::string folder = "/sys/fs/cgroup" + group;
      const int64_t limit = FileNumber(folder + "/memory.max", kUnlimited);
      if (limit != kUnlimited) {
        const int64_t used = FileNumber(folder + "/memory.current", 0);
        least = std::min(least, std::max<int64_t>(0, limit - used));
      }
      if (group.empty() || group == "/") break;
      group = group.substr(0, group.rfind('/'));
    }
  }
  return least;
}

}  // namespace

int64_t AvailableHostMemoryBytes() {
  const int64_t machine = ProcKilobytes("/proc/meminfo", "MemAvailable");
  if (machine == 0) return 0;
  return std::min(machine, CgroupAvailable());
}

int64_t ProcessPeakBytes() {
  return ProcKilobytes("/proc/self/status", "VmHWM");
}

int64_t ProcessResidentBytes() {
  return ProcKilobytes("/proc/self/status", "VmRSS");
}

int64_t ResidentBytes(const void* data, int64_t size_bytes) {
  if (size_bytes == 0) return 0;
  const int64_t page = sysconf(_SC_PAGESIZE);
  const auto address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = address / page * page;
  const size_t length = address + size_bytes - first;
  std::vector<unsigned char> pages((length + page - 1) / page);
  if (mincore(reinterpret_cast<void*>(first), length, pages.data()) != 0) {
    return 0;
  }
  int64_t resident = 0;
  for (unsigned char flags : pages) resident += (flags & 1) ? page : 0;
  return std::min(resident, size_bytes);
}

void KeepHeapInHugePages() {
  constexpr size_t kHugePage = size_t{2} << 20, kHeap = size_t{512} << 20;
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, static_cast<int>(kHeap));
  // The heap grows at its end, by what is asked for and the pad: address space
  // only, until it is touched.
  const auto old_end = reinterpret_cast<uintptr_t>(sbrk(0));
  void* volatile grows_it = std::malloc(kHugePage);
  std::free(grows_it);
  const auto end = reinterpret_cast<uintptr_t>(sbrk(0));
  const uintptr_t begin = (old_end + kHugePage - 1) / kHugePage * kHugePage;
  if (begin < end) {
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  }
}

}  // namespace facet::runtime
