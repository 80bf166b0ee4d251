#include "ops/cpu_kernels.h"

#include "absl/container/flat_hash_map.h"
#include "ops/cpu_kernel_list.h"

namespace facet::ops {
namespace {

const KernelDef* FindCpuKernel(absl::string_view op) {
  static const auto& by_name = *[] {
#define FACET_KERNEL(name, function) {#name, function()},
    return new absl::flat_hash_map<std::string, KernelDef>{
        FACET_FOR_EACH_OP(FACET_KERNEL)};
#undef FACET_KERNEL
  }();
  auto it = by_name.find(std::string(op));
  return it == by_name.end() ? nullptr : &it->second;
}

// oneDNN's fast convolutions work on blocks of one vector register.
Layout PreferredLayout(DataType) {
  return __builtin_cpu_supports("avx512f") ? Layout::kBlocked16
                                           : Layout::kBlocked8;
}

}  // namespace

const KernelLibrary& CpuKernels() {
  static constexpr KernelLibrary library = {"cpu", FindCpuKernel,
                                            PreferredLayout};
  return library;
}

}  // namespace facet::ops
