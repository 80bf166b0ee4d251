// GPUs by their data sheets, for whom cuDNN makes plans without having them.
#ifndef FACET_TESTS_CUDNN_DESCRIBED_GPUS_H_
#define FACET_TESTS_CUDNN_DESCRIBED_GPUS_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace facet {

struct DescribedGpu {
  std::string name;
  int compute_capability = 0;  // 90: 9.0.
  int multiprocessors = 0;
  int clock_mhz = 0;
  int memory_clock_mhz = 0;
  int64_t l2_bytes = 0;
  int64_t memory_bytes = 0;
  int shared_bytes_per_block = 0;  // The most that a kernel may ask for.
  int threads_per_multiprocessor = 2048;
  int blocks_per_multiprocessor = 32;
};

inline void PrintTo(const DescribedGpu& gpu, std::ostream* out) {
  *out << gpu.name;
}

inline std::vector<DescribedGpu> DescribedGpus() {
  constexpr int64_t kMiB = int64_t{1} << 20, kGiB = int64_t{1} << 30;
  return {
      {"Tesla T4", 75, 40, 1590, 5001, 4 * kMiB, 15 * kGiB, 65536, 1024, 16},
      {"NVIDIA A100-SXM4-80GB", 80, 108, 1410, 1593, 40 * kMiB, 79 * kGiB,
       166912},
      {"NVIDIA H100 80GB HBM3", 90, 132, 1980, 2619, 50 * kMiB, 79 * kGiB,
       232448},
      {"NVIDIA B200", 100, 148, 1965, 3996, 126 * kMiB, 178 * kGiB, 232448},
  };
}

// What cuDNN 9.8 to 9.19 asks for; a member that is missing is named in its
// error.
inline std::string PropertiesJson(const DescribedGpu& gpu) {
  return absl::StrCat(
      "{\"deviceName\":\"", gpu.name,
      "\",\"cudaDeviceId\":0,\"deviceVer\":", gpu.compute_capability * 10,
      ",\"driverVer\":13000,\"isTccDriver\":0",
      ",\"maxGridSize\":[2147483647,65535,65535]",
      ",\"maxBlockSize\":[1024,1024,64],\"maxThreadsPerBlock\":1024",
      ",\"warpSize\":32,\"regsPerBlock\":65536,\"maxRegistersPerSM\":65536",
      ",\"multiProcessorCount\":", gpu.multiprocessors,
      ",\"smClockRateKHz\":", gpu.clock_mhz * 1000,
      ",\"memClockRateKHz\":", gpu.memory_clock_mhz * 1000,
      ",\"l2CacheSize\":", gpu.l2_bytes,
      ",\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":",
      gpu.shared_bytes_per_block, ",\"reservedSharedMemoryPerBlock\":",
      gpu.compute_capability >= 80 ? 1024 : 0,
      ",\"maxThreadsPerSM\":", gpu.threads_per_multiprocessor,
      ",\"maxCtasPerSM\":", gpu.blocks_per_multiprocessor,
      ",\"supportCoopLaunch\":1,\"pciDeviceId\":0,\"totalGlobalMem\":",
      gpu.memory_bytes, "}");
}

}  // namespace facet

#endif  // FACET_TESTS_CUDNN_DESCRIBED_GPUS_H_
