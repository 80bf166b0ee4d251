// How kernels walk over a matrix whose rows have some hundreds of elements: a
// warp has a row, its lanes take turns with the row's vectors.
#ifndef FACET_OPS_CUDA_WARP_PER_ROW_H_
#define FACET_OPS_CUDA_WARP_PER_ROW_H_

#include <cstdint>
#include <type_traits>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/device_span.h"
#include "ops/cuda/launch.h"

namespace facet::ops {

// rows > 0. The kernel returns where RowOfWarp() is not below `rows`.
inline LaunchShape WarpPerRow(int64_t rows) {
  constexpr int kWarps = kBlockThreads / 32;
  return {dim3((rows + kWarps - 1) / kWarps)};
}

// Of the calling thread; the same for all lanes of its warp.
__device__ inline int64_t RowOfWarp() { return GridThread() / 32; }
__device__ inline int Lane() { return static_cast<int>(threadIdx.x % 32); }

// Calls f(width), a std::integral_constant: how many adjacent elements of a row
// move at once. It divides `columns`, so that vectors of all rows are aligned.
template <typename F>
auto VisitRowWidth(int64_t columns, F&& f) {
  constexpr int kWidest = kVectorWidth<float>;
  return columns % kWidest == 0 ? f(std::integral_constant<int, kWidest>{})
                                : f(std::integral_constant<int, 1>{});
}

// VisitRowWidth for kernels that use a row's elements twice: f(width, vectors),
// where `vectors` is how many of these a lane has, for it to keep them in
// registers; or 0, for it to load them again.
template <typename F>
auto VisitRowShape(int64_t columns, F&& f) {
  constexpr int kWidest = kVectorWidth<float>;
  const std::integral_constant<int, kWidest> widest;
  constexpr int64_t kOfWarp = 32 * kWidest;
  if (columns == kOfWarp) return f(widest, std::integral_constant<int, 1>{});
  if (columns == 2 * kOfWarp) {
    return f(widest, std::integral_constant<int, 2>{});
  }
  if (columns == 4 * kOfWarp) {
    return f(widest, std::integral_constant<int, 4>{});
  }
  return VisitRowWidth(columns, [&](auto width) {
    return f(width, std::integral_constant<int, 0>{});
  });
}

// The first element of a row's vector `v` of the calling lane.
template <int kWidth>
__device__ inline int64_t RowVector(int v) {
  return static_cast<int64_t>(v * 32 + Lane()) * kWidth;
}

// Calls body(i) for the calling lane's vectors of a row, [i, i + kWidth).
template <int kWidth, typename Body>
__device__ inline void ForRowVectors(int64_t columns, const Body& body) {
  for (int64_t i = Lane() * kWidth; i < columns; i += 32 * kWidth) body(i);
}

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_WARP_PER_ROW_H_
