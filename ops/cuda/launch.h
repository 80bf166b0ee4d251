// Launch: how a kernel is put into a stream, with <<<>>> where nvcc compiles
// and with the emulation elsewhere.
#ifndef FACET_OPS_CUDA_LAUNCH_H_
#define FACET_OPS_CUDA_LAUNCH_H_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/cuda_error.h"
#include "ops/cuda/device_span.h"

namespace facet::ops {

struct LaunchShape {
  dim3 grid;  // Blocks: at most 2^31 - 1, 65535, 65535.
  dim3 block = dim3(kBlockThreads);
  size_t shared_bytes = 0;  // DynamicShared(); at most 48 KiB.
};

// Position of the calling thread in the grid's x, and the grid's threads: for
//   for (int64_t i = GridThread(); i < n; i += GridThreads()) ...
__device__ inline int64_t GridThread() {
  return int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ inline int64_t GridThreads() {
  return int64_t{gridDim.x} * blockDim.x;
}

// The block's LaunchShape::shared_bytes as elements of T. Not initialised.
template <typename T>
__device__ inline T* DynamicShared() {
#ifdef __CUDACC__
  extern __shared__ __align__(16) unsigned char facet_dynamic_shared[];
  return reinterpret_cast<T*>(facet_dynamic_shared);
#else
  return static_cast<T*>(cuda_emulation::DynamicSharedMemory());
#endif
}

#ifndef __CUDACC__
namespace internal {

// Which memory an argument of a kernel gives it.
template <typename T>
void AddAccess(const T&, std::vector<cuda_emulation::Access>*) {
  static_assert(!std::is_pointer_v<T>, "give kernels spans, not pointers");
}
template <typename T>
void AddAccess(const DeviceSpan<T>& span,
               std::vector<cuda_emulation::Access>* accesses) {
  accesses->push_back({span.data(),
                       span.size() * static_cast<int64_t>(sizeof(T)),
                       !std::is_const_v<T>});
}
template <typename T, int kMost>
void AddAccess(const DeviceSpans<T, kMost>& spans,
               std::vector<cuda_emulation::Access>* accesses) {
  for (int i = 0; i < spans.count; ++i) AddAccess(spans.span[i], accesses);
}

}  // namespace internal
#endif

// Runs kernel(arguments...) for every thread of the shape, after what is in
// the stream. Memory is given to kernels as DeviceSpan or DeviceSpans only.
template <typename... Parameters, typename... Arguments>
absl::Status Launch(void (*kernel)(Parameters...), const LaunchShape& shape,
                    cudaStream_t stream, const Arguments&... arguments) {
  static_assert((((sizeof(Parameters) + 7) / 8 * 8) + ... + 0) <= 4096,
                "kernels take 4 KiB of arguments before CUDA 12.1");
#ifdef __CUDACC__
  kernel<<<shape.grid, shape.block, shape.shared_bytes, stream>>>(arguments...);
  return ToStatus(cudaGetLastError(), "kernel launch");
#else
  std::vector<cuda_emulation::Access> accesses;
  std::tuple<Parameters...> values(arguments...);
  std::apply(
      [&](const auto&... value) {
        (internal::AddAccess(value, &accesses), ...);
      },
      values);
  return ToStatus(cuda_emulation::LaunchKernel(
                      shape.grid, shape.block, shape.shared_bytes, stream,
                      accesses, [=] { std::apply(kernel, values); }),
                  "kernel launch");
#endif
}

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_LAUNCH_H_
