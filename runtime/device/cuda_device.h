// CUDA devices: each a GPU of this machine.
#ifndef FACET_RUNTIME_DEVICE_CUDA_DEVICE_H_
#define FACET_RUNTIME_DEVICE_CUDA_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/device/device.h"

namespace facet::runtime {

// What a GPU is, for the cost model and the report.
struct CudaDeviceInfo {
  std::string name;            // "Tesla V100-SXM2-32GB"
  std::string pci_bus_id;      // "0000:3b:00.0": which it is of its host.
  int compute_capability = 0;  // 80 for 8.0
  int multiprocessors = 0;
  int64_t memory_bytes = 0;            // In all.
  int64_t free_bytes = 0;              // Now.
  double clock_hertz = 0;              // Of the multiprocessors, at most.
  double memory_bytes_per_second = 0;  // At most.
  int64_t cudnn_version = 0;           // That this process has: 91002.
  int64_t cublas_version = 0;          // The same: 130000.
};

// Both functions: Unimplemented in a program that was built without CUDA.

// The GPUs that this process may use (CUDA_VISIBLE_DEVICES), in CUDA's order.
// Empty where there is none. FailedPrecondition if the driver is older than
// this program's CUDA.
absl::StatusOr<std::vector<CudaDeviceInfo>> CudaDevices();

// `count` of them from `first` on, named by their numbers: "cuda:0", ...
// InvalidArgument if there are fewer. Those of one process reach each other's
// memory where the machine lets them.
absl::StatusOr<std::vector<std::unique_ptr<Device>>> CreateCudaDevices(
    int count, int first = 0);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_DEVICE_CUDA_DEVICE_H_
