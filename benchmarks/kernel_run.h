// One kernel of the library with memory of its own, to be timed.
#ifndef FACET_BENCHMARKS_KERNEL_RUN_H_
#define FACET_BENCHMARKS_KERNEL_RUN_H_

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/kernel.h"

namespace facet::benchmarks {

struct FreeMemory {
  void operator()(float* memory) const { std::free(memory); }
};
using FloatMemory = std::unique_ptr<float, FreeMemory>;

// Floats between -1 and 1 that differ, aligned for any vector. In huge pages
// where the system gives them, as a device's memory is. CHECKs that there is
// enough.
FloatMemory AllocateFloats(int64_t bytes);

// The whole of a float32 tensor on one device.
ops::TensorSlice WholeFloat32(const ops::Shape& shape,
                              ops::Layout layout = ops::Layout::kRowMajor);

class KernelRun {
 public:
  // Of a CPU kernel; `spec` as it will be called. Fails as the kernel does.
  static absl::StatusOr<KernelRun> Create(const std::string& op,
                                          const ops::KernelSpec& spec);

  // On the caller's OpenMP team. CHECKs that the kernel succeeds.
  void Run();

  // Of input i: for those whose values matter.
  float* input(int i) { return memory_[i].get(); }

 private:
  ops::Kernel kernel_;
  std::vector<FloatMemory> memory_;  // Inputs, outputs, workspace.
  std::vector<ops::TensorView> views_;
  size_t num_inputs_ = 0;
};

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_KERNEL_RUN_H_
