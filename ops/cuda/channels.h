// What kernels share that treat every channel of a tensor by its own constants
// or sum over all that is not a channel (batch norm, PReLU): one pass over
// memory, in either layout, with sums whose order depends on the shape alone.
// On CPUs: ops/channel_loops.h.
//
// The kernel gives a Step, a functor that is called for every element with the
// constants of its channel:
//   static constexpr int kConstants, kSums;
//   FACET_HOST_DEVICE float operator()(const float* constants, float* sums,
//                                      float x...) const;
// It returns the element of y, where there is one, and adds to its channel's
// sums.
#ifndef FACET_OPS_CUDA_CHANNELS_H_
#define FACET_OPS_CUDA_CHANNELS_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "glog/logging.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/device_span.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/map.h"
#include "ops/cuda/reduce.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {

// How a tensor [N, C, ...] is walked: as lines of C channels (nhwc, and all
// that has two dimensions), or as planes of one channel (nchw). Pieces of it
// are worked on, and summed, by different blocks.
struct ChannelWalk {
  // A block of the former takes turns with the lines of a piece, a thread has
  // kVectors adjacent channels: of kLineThreads lines at once.
  static constexpr int kVectors = 8;
  static constexpr int kLineThreads = kBlockThreads / kVectors;
  // Pieces so that there are some blocks for every multiprocessor.
  static constexpr int64_t kBlocks = 1024;

  bool channels_last = false;
  int64_t rows = 0, channels = 0, positions = 0;
  int64_t pieces = 0;
  int64_t per_piece = 0;  // Lines, or rows.

  // Of `rows` rows of a tensor like this.
  static ChannelWalk Make(const TensorSlice& slice, int64_t rows) {
    CHECK(ChannelBlock(slice.layout) == 1) << "a blocked layout";
    const Shape& shape = slice.shape;
    ChannelWalk walk;
    walk.rows = rows;
    walk.channels = shape[1];
    walk.positions = shape.num_elements(2, shape.rank());
    walk.channels_last =
        slice.layout == Layout::kChannelsLast || walk.positions == 1;
    if (walk.channels_last) {
      // Floats are added 4 to 64 at a time, per thread, before double.
      const int64_t lines = rows * walk.positions;
      const int64_t tiles = (walk.channels + 63) / 64;
      const int64_t wanted = lines * tiles / kBlocks / kLineThreads;
      walk.per_piece = std::clamp<int64_t>(wanted, 4, 64) * kLineThreads;
      walk.pieces = (lines + walk.per_piece - 1) / walk.per_piece;
    } else {
      // At least 8 elements per thread.
      const int64_t least = 8 * kBlockThreads / walk.positions + 1;
      walk.per_piece = std::max(least, rows * walk.channels / kBlocks);
      walk.pieces = (rows + walk.per_piece - 1) / walk.per_piece;
    }
    return walk;
  }

  int64_t num_elements() const { return rows * channels * positions; }
  // Doubles that ForChannels needs as scratch memory.
  int64_t partial_sums(int num_sums) const {
    return pieces * num_sums * channels;
  }
};

namespace internal {

// One more than none: there are no arrays of 0.
template <typename Step>
struct ChannelRegisters {
  float constants[Step::kConstants + 1];
  float sums[Step::kSums + 1] = {};
};

// Elements [i, i + kWidth) of a tensor, for `lanes` of which registers differ.
template <int kWidth, bool kStore, typename Step, typename Y, typename... X>
__device__ inline void StepVector(const Step& step, int64_t i,
                                  ChannelRegisters<Step>* lanes, int lane_step,
                                  const DeviceSpan<Y>& y,
                                  const Vector<X, kWidth>&... x) {
  Vector<Y, kWidth> result;
  for (int k = 0; k < kWidth; ++k) {
    ChannelRegisters<Step>& lane = lanes[k * lane_step];
    result.element[k] =
        FromFloat<Y>(step(lane.constants, lane.sums, ToFloat(x.element[k])...));
  }
  if (kStore) y.template StoreVector<kWidth>(i, result);
}

// What a thread has of kCount lines, `stride` elements apart.
template <int kCount, int kWidth, typename T>
struct LineVectors {
  Vector<T, kWidth> of_line[kCount];
};

template <int kCount, int kWidth, typename T>
__device__ inline LineVectors<kCount, kWidth, T> LoadLines(
    const DeviceSpan<const T>& x, int64_t i, int64_t stride) {
  LineVectors<kCount, kWidth, T> vectors;
  for (int l = 0; l < kCount; ++l) {
    vectors.of_line[l] = x.template LoadVector<kWidth>(i + l * stride);
  }
  return vectors;
}

template <int kWidth, bool kStore, int kCount, typename Step, typename Y,
          typename... X>
__device__ inline void StepLines(const Step& step, int64_t i, int64_t stride,
                                 ChannelRegisters<Step>* lanes,
                                 const DeviceSpan<Y>& y,
                                 const LineVectors<kCount, kWidth, X>&... x) {
  for (int l = 0; l < kCount; ++l) {
    StepVector<kWidth, kStore>(step, i + l * stride, lanes, 1, y,
                               x.of_line[l]...);
  }
}

// Blocks of ChannelLinesKernel that a multiprocessor is to hold; 0: as ptxas
// likes. It spills registers of these unless it is told that 4 are enough: of
// three float32 operands on B200 (13.0), and (11.8) of one of 16 bits or two of
// float32 where it stores.
constexpr int LeastBlocks([[maybe_unused]] int inputs,
                          [[maybe_unused]] int width,
                          [[maybe_unused]] bool stores) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
  return inputs == 3 && width == 4 ? 4 : 0;
#elif defined(__CUDACC_VER_MAJOR__) && __CUDACC_VER_MAJOR__ < 12
  return stores && ((inputs == 1 && width == 8) || (inputs == 2 && width == 4))
             ? 4
             : 0;
#else
  return 0;
#endif
}

// Lines of channels: threads of a block have different channels, and keep them.

// A thread that sums, or has many constants to keep (so that few warps run),
// loads several lines before it works on the first: PReLU's gradients took a
// fifth less time so on an H200. Other steps took a tenth to a third more and
// load a line at a time.
template <int kWidth, bool kStore, typename Step, typename Y, typename... X>
__global__ void __launch_bounds__(kBlockThreads,
                                  LeastBlocks(sizeof...(X), kWidth, kStore))
    ChannelLinesKernel(ChannelWalk walk, Step step,
                       DeviceSpan<const float> constants,
                       DeviceSpan<double> partial, DeviceSpan<Y> y,
                       DeviceSpan<const X>... x) {
  constexpr int kVectors = ChannelWalk::kVectors;
  constexpr int kLineThreads = ChannelWalk::kLineThreads;
  constexpr int kTile = kVectors * kWidth;
  const int64_t tiles = (walk.channels + kTile - 1) / kTile;
  const int64_t piece = blockIdx.x / tiles;
  const int64_t first = blockIdx.x % tiles * kTile;  // Channel of the tile.
  const int vector = static_cast<int>(threadIdx.x % kVectors);
  const int line_thread = static_cast<int>(threadIdx.x / kVectors);
  const int64_t channel = first + vector * kWidth;
  ChannelRegisters<Step> lanes[kWidth];
  if (channel < walk.channels) {
    for (int k = 0; k < kWidth; ++k) {
      for (int c = 0; c < Step::kConstants; ++c) {
        lanes[k].constants[c] = constants.Load(c * walk.channels + channel + k);
      }
    }
    const int64_t lines = walk.rows * walk.positions;
    int64_t end = (piece + 1) * walk.per_piece;
    if (end > lines) end = lines;
    int64_t line = piece * walk.per_piece + line_thread;
    constexpr bool kFewWarps = Step::kSums > 0 || Step::kConstants > 5;
    constexpr int kAhead = !kFewWarps ? 1 : sizeof...(X) == 1 ? 4 : 2;
    constexpr int64_t kTurn = kAhead * kLineThreads;
    const int64_t stride = kLineThreads * walk.channels;
    for (; line + kTurn - kLineThreads < end; line += kTurn) {
      const int64_t i = line * walk.channels + channel;
      StepLines<kWidth, kStore, kAhead>(
          step, i, stride, lanes, y,
          LoadLines<kAhead, kWidth>(x, i, stride)...);
    }
    for (; line < end; line += kLineThreads) {
      const int64_t i = line * walk.channels + channel;
      StepVector<kWidth, kStore>(step, i, lanes, 1, y,
                                 x.template LoadVector<kWidth>(i)...);
    }
  }
  if constexpr (Step::kSums > 0) {
    __shared__ float sums[Step::kSums][kLineThreads][kTile + 1];
    for (int s = 0; s < Step::kSums; ++s) {
      for (int k = 0; k < kWidth; ++k) {
        sums[s][line_thread][vector * kWidth + k] = lanes[k].sums[s];
      }
    }
    __syncthreads();
    for (int j = static_cast<int>(threadIdx.x); j < Step::kSums * kTile;
         j += kBlockThreads) {
      const int s = j / kTile;
      if (first + j % kTile >= walk.channels) continue;
      double sum = 0;
      for (int l = 0; l < kLineThreads; ++l) sum += sums[s][l][j % kTile];
      partial.Store(
          (piece * Step::kSums + s) * walk.channels + first + j % kTile, sum);
    }
  }
}

// Planes of one channel: a block has a channel, of some rows.
template <int kWidth, bool kStore, typename Step, typename Y, typename... X>
__global__ void __launch_bounds__(kBlockThreads)
    ChannelPlanesKernel(ChannelWalk walk, Step step,
                        DeviceSpan<const float> constants,
                        DeviceSpan<double> partial, DeviceSpan<Y> y,
                        DeviceSpan<const X>... x) {
  const int64_t piece = blockIdx.x / walk.channels;
  const int64_t channel = blockIdx.x % walk.channels;
  ChannelRegisters<Step> lane;
  double sums[Step::kSums + 1] = {};
  for (int c = 0; c < Step::kConstants; ++c) {
    lane.constants[c] = constants.Load(c * walk.channels + channel);
  }
  int64_t end = (piece + 1) * walk.per_piece;
  if (end > walk.rows) end = walk.rows;
  for (int64_t row = piece * walk.per_piece; row < end; ++row) {
    const int64_t first = (row * walk.channels + channel) * walk.positions;
    for (int64_t p = threadIdx.x * kWidth; p < walk.positions;
         p += blockDim.x * kWidth) {
      StepVector<kWidth, kStore>(step, first + p, &lane, 0, y,
                                 x.template LoadVector<kWidth>(first + p)...);
      // Floats are added a vector at a time, before double.
      for (int s = 0; s < Step::kSums; ++s) {
        sums[s] += lane.sums[s];
        lane.sums[s] = 0;
      }
    }
  }
  for (int s = 0; s < Step::kSums; ++s) {
    const double sum = ReduceBlock(sums[s], Sum{}, 0.0);
    if (threadIdx.x == 0) {
      partial.Store((piece * Step::kSums + s) * walk.channels + channel, sum);
    }
  }
}

// Warps take turns with the pieces; a lane has a channel of one of the sums.
// There are few blocks, and what they read is close by: what counts is how many
// loads are under way.
inline constexpr int kAddThreads = 1024;

template <int kSums>
__global__ void __launch_bounds__(kAddThreads)
    AddPiecesKernel(ChannelWalk walk, DeviceSpan<const double> partial,
                    DeviceSpans<float, kSums> sums) {
  constexpr int kWarps = kAddThreads / 32;
  constexpr int kAhead = 8;
  __shared__ double of_warp[kWarps][32];
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int64_t columns = kSums * walk.channels;
  const int64_t column = int64_t{blockIdx.x} * 32 + lane;
  double sum = 0;
  if (column < columns) {
    for (int64_t first = warp; first < walk.pieces; first += kAhead * kWarps) {
      double ahead[kAhead];
      for (int a = 0; a < kAhead; ++a) {
        const int64_t piece = first + a * kWarps;
        ahead[a] =
            piece < walk.pieces ? partial.Load(piece * columns + column) : 0;
      }
      for (int a = 0; a < kAhead; ++a) sum += ahead[a];
    }
  }
  of_warp[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || column >= columns) return;
  for (int w = 1; w < kWarps; ++w) sum += of_warp[w][lane];
  for (int s = 0; s < kSums; ++s) {
    if (column / walk.channels != s) continue;
    sums.span[s].Store(column % walk.channels, static_cast<float>(sum));
  }
}

template <int kWidth, bool kStore, typename Step, typename Y, typename... X>
absl::Status LaunchChannels(const CudaContext& cuda, const ChannelWalk& walk,
                            const Step& step, DeviceSpan<const float> constants,
                            DeviceSpan<double> partial, DeviceSpan<Y> y,
                            DeviceSpan<const X>... x) {
  constexpr int kTile = ChannelWalk::kVectors * kWidth;
  if (walk.channels_last) {
    const int64_t tiles = (walk.channels + kTile - 1) / kTile;
    return Launch(ChannelLinesKernel<kWidth, kStore, Step, Y, X...>,
                  {dim3(tiles * walk.pieces)}, cuda.stream(), walk, step,
                  constants, partial, y, x...);
  }
  return Launch(ChannelPlanesKernel<kWidth, kStore, Step, Y, X...>,
                {dim3(walk.channels * walk.pieces)}, cuda.stream(), walk, step,
                constants, partial, y, x...);
}

template <bool kStore, typename Step, typename Y, typename... X>
absl::Status ForChannels(const CudaContext& cuda, const ChannelWalk& walk,
                         const Step& step, DeviceSpan<const float> constants,
                         DeviceSpan<double> partial, DeviceSpan<Y> y,
                         DeviceSpan<const X>... x) {
  if (walk.num_elements() == 0) return absl::OkStatus();
  constexpr int kWidth = CommonWidth<Y, X...>();
  const int64_t adjacent = walk.channels_last ? walk.channels : walk.positions;
  if (adjacent % kWidth != 0) {
    return LaunchChannels<1, kStore, Step, Y, X...>(cuda, walk, step, constants,
                                                    partial, y, x...);
  }
  return LaunchChannels<kWidth, kStore, Step, Y, X...>(
      cuda, walk, step, constants, partial, y, x...);
}

template <int kSums>
absl::Status AddPieces(const CudaContext& cuda, const ChannelWalk& walk,
                       DeviceSpan<double> partial,
                       DeviceSpans<float, kSums> sums) {
  sums.count = kSums;
  return Launch(AddPiecesKernel<kSums>,
                {dim3((kSums * walk.channels + 31) / 32), dim3(kAddThreads)},
                cuda.stream(), walk, partial, sums);
}

}  // namespace internal

// y[i] = step(constants of i's channel, x[i]...). `constants`: [kConstants, C].
// All tensors are of the walk's shape and layout; y may be one of the x.
template <typename Step, typename Y, typename... X>
absl::Status MapChannels(const CudaContext& cuda, const ChannelWalk& walk,
                         const Step& step, DeviceSpan<const float> constants,
                         DeviceSpan<Y> y, DeviceSpan<const X>... x) {
  static_assert(Step::kSums == 0);
  return internal::ForChannels<true>(cuda, walk, step, constants,
                                     DeviceSpan<double>(), y, x...);
}

// The sums over each channel, [C] each; what the step returns is dropped.
// `partial`: partial_sums(kSums) of them.
template <int kSums, typename Step, typename T, typename... X>
absl::Status SumChannels(const CudaContext& cuda, const ChannelWalk& walk,
                         const Step& step, DeviceSpan<const float> constants,
                         DeviceSpan<double> partial,
                         const DeviceSpans<float, kSums>& sums,
                         DeviceSpan<const T> x, DeviceSpan<const X>... more) {
  static_assert(Step::kSums == kSums);
  RETURN_IF_ERROR(internal::ForChannels<false>(
      cuda, walk, step, constants, partial, DeviceSpan<T>(), x, more...));
  return internal::AddPieces(cuda, walk, partial, sums);
}

// Both.
template <int kSums, typename Step, typename Y, typename... X>
absl::Status MapAndSumChannels(const CudaContext& cuda, const ChannelWalk& walk,
                               const Step& step,
                               DeviceSpan<const float> constants,
                               DeviceSpan<double> partial,
                               const DeviceSpans<float, kSums>& sums,
                               DeviceSpan<Y> y, DeviceSpan<const X>... x) {
  static_assert(Step::kSums == kSums);
  RETURN_IF_ERROR(internal::ForChannels<true>(cuda, walk, step, constants,
                                              partial, y, x...));
  return internal::AddPieces(cuda, walk, partial, sums);
}

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_CHANNELS_H_
