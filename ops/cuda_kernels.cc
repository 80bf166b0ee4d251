#include "ops/cuda_kernels.h"

#include <string>

#include "absl/container/flat_hash_map.h"
#include "ops/cuda_kernel_list.h"

namespace facet::ops {
namespace {

const KernelDef* FindCudaKernel(absl::string_view op) {
  static const auto& by_name = *[] {
#define FACET_KERNEL(name, function) {#name, function()},
    return new absl::flat_hash_map<std::string, KernelDef>{
        FACET_FOR_EACH_OP(FACET_KERNEL)};
#undef FACET_KERNEL
  }();
  auto it = by_name.find(std::string(op));
  return it == by_name.end() ? nullptr : &it->second;
}

// Tensor cores want the channels adjacent.
Layout PreferredLayout(DataType) { return Layout::kChannelsLast; }

}  // namespace

const KernelLibrary& CudaKernels() {
  static constexpr KernelLibrary library = {"cuda", FindCudaKernel,
                                            PreferredLayout};
  return library;
}

}  // namespace facet::ops
