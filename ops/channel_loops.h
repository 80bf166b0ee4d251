// Loops over a tensor [N, C, ...] for kernels that treat every channel by its
// own constants or sum over all that is not a channel: batch norm, PReLU. One
// pass over memory in any layout, vectorised, and with results that do not
// depend on the number of threads.
//
// The kernel gives a Step: a function object that is called once per element
// position, with V = Float8 or float,
//   template <typename V>
//   void operator()(int64_t i, const V* constants, V* sums) const;
// It loads elements [i, i + kLanes<V>) of its tensors, may store to them, and
// adds to `sums` what shall be summed by channel.
#ifndef FACET_OPS_CHANNEL_LOOPS_H_
#define FACET_OPS_CHANNEL_LOOPS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "glog/logging.h"
#include "ops/float8.h"
#include "ops/graph/shard.h"
#include "ops/kernel.h"
#include "ops/parallel.h"

namespace facet::ops {

// How a tensor is walked: as [rows, blocks, positions, width], of which
// (block, width) is the channel. The rows fall into groups that have their own
// constants and sums, and within a group into runs of rows that are summed
// separately: the unit of parallel work.
struct ChannelGrid {
  struct Run {
    int64_t group = 0;  // Index among the local groups.
    Range rows;         // Local.
  };
  int64_t channels = 0;
  int64_t blocks = 0;     // nchw: C; blocked: C / block; nhwc and rank 2: 1.
  int64_t positions = 0;  // H * W
  int64_t width = 0;      // nchw: 1; blocked: 8 or 16; nhwc and rank 2: C.
  int64_t groups = 0;
  int64_t rows_per_run = 1;  // At most.
  std::vector<Run> runs;     // In order of group.

  // `group_rows`: by local group, its local rows.
  static ChannelGrid Make(const TensorSlice& slice,
                          const std::vector<Range>& group_rows);
  // All rows in one group.
  static ChannelGrid Make(const TensorSlice& slice);

  // Doubles that ReduceChannels needs as scratch memory.
  int64_t partial_sums(int num_sums) const {
    return static_cast<int64_t>(runs.size()) * num_sums * channels;
  }
};

namespace channel_loops_internal {

// Elements that are summed in float before they go to double.
inline constexpr int64_t kChunk = 64;

inline double HorizontalSum(Float8 value) {
  double sum = 0;
  for (int lane = 0; lane < 8; ++lane) sum += value[lane];
  return sum;
}

inline void AddTo(double* sums, float value) { *sums += value; }
inline void AddTo(double* sums, Float8 value) {
  _mm256_storeu_pd(
      sums, _mm256_add_pd(_mm256_loadu_pd(sums),
                          _mm256_cvtps_pd(_mm256_castps256_ps128(value))));
  _mm256_storeu_pd(
      sums + 4,
      _mm256_add_pd(_mm256_loadu_pd(sums + 4),
                    _mm256_cvtps_pd(_mm256_extractf128_ps(value, 1))));
}

// `positions` elements of one channel, one after the other.
template <int kConstants, int kSums, typename Step>
void OneChannel(int64_t offset, int64_t positions, const float* constants,
                int64_t constant_stride, const Step& step, double* sums,
                int64_t sum_stride) {
  constexpr int kUnroll = kSums > 0 ? 4 : 1;
  Float8 wide[kConstants + 1];
  float narrow[kConstants + 1];
  for (int k = 0; k < kConstants; ++k) {
    narrow[k] = constants[k * constant_stride];
    wide[k] = Broadcast<Float8>(narrow[k]);
  }
  int64_t p = 0;
  while (p + 8 <= positions) {
    const int64_t end =
        std::min(positions, p + kChunk * 8) / (8 * kUnroll) * (8 * kUnroll);
    Float8 local[kUnroll][kSums + 1] = {};
    for (; p + 8 * kUnroll <= end; p += 8 * kUnroll) {
      for (int u = 0; u < kUnroll; ++u) {
        step(offset + p + 8 * u, wide, local[u]);
      }
    }
    if (positions - p < 8 * kUnroll) {
      for (; p + 8 <= positions; p += 8) step(offset + p, wide, local[0]);
    }
    for (int s = 0; s < kSums; ++s) {
      for (int u = 0; u < kUnroll; ++u) {
        sums[s * sum_stride] += HorizontalSum(local[u][s]);
      }
    }
  }
  float rest[kSums + 1] = {};
  for (; p < positions; ++p) step(offset + p, narrow, rest);
  for (int s = 0; s < kSums; ++s) sums[s * sum_stride] += rest[s];
}

// `positions` times kWidth channels: a block of a blocked layout.
template <int kWidth, int kConstants, int kSums, typename Step>
void OneBlock(int64_t offset, int64_t positions, const float* constants,
              int64_t constant_stride, const Step& step, double* sums,
              int64_t sum_stride) {
  constexpr int kVectors = kWidth / 8;
  constexpr int kUnroll = kSums > 0 ? 4 / kVectors : 1;
  Float8 wide[kVectors][kConstants + 1];
  for (int v = 0; v < kVectors; ++v) {
    for (int k = 0; k < kConstants; ++k) {
      wide[v][k] = Load<Float8>(constants + k * constant_stride + 8 * v);
    }
  }
  for (int64_t p = 0; p < positions;) {
    const int64_t end = std::min(positions, p + kChunk);
    Float8 local[kUnroll][kVectors][kSums + 1] = {};
    for (; p + kUnroll <= end; p += kUnroll) {
      for (int u = 0; u < kUnroll; ++u) {
        for (int v = 0; v < kVectors; ++v) {
          step(offset + (p + u) * kWidth + 8 * v, wide[v], local[u][v]);
        }
      }
    }
    for (; p < end; ++p) {
      for (int v = 0; v < kVectors; ++v) {
        step(offset + p * kWidth + 8 * v, wide[v], local[0][v]);
      }
    }
    for (int s = 0; s < kSums; ++s) {
      for (int v = 0; v < kVectors; ++v) {
        for (int u = 1; u < kUnroll; ++u) local[0][v][s] += local[u][v][s];
        AddTo(sums + s * sum_stride + 8 * v, local[0][v][s]);
      }
    }
  }
}

// `positions` times all channels, the channels innermost: channels-last.
template <int kConstants, int kSums, typename Step>
void ChannelsInnermost(int64_t offset, int64_t positions, int64_t width,
                       const float* constants, int64_t constant_stride,
                       const Step& step, double* sums, int64_t sum_stride) {
  // Few positions at a time keep their sums in registers; the next channels
  // then find the positions' memory lines in flight already.
  constexpr int64_t kRows = kSums > 0 ? 16 : 4;
  auto channels = [&](auto zero, int64_t first, int64_t end, int64_t p,
                      int64_t rows) {
    using V = decltype(zero);
    for (int64_t c = first; c + kLanes<V> <= end; c += kLanes<V>) {
      V wide[kConstants + 1];
      for (int k = 0; k < kConstants; ++k) {
        wide[k] = Load<V>(constants + k * constant_stride + c);
      }
      V local[kSums + 1] = {};
      for (int64_t r = 0; r < rows; ++r) {
        step(offset + (p + r) * width + c, wide, local);
      }
      for (int s = 0; s < kSums; ++s) {
        AddTo(sums + s * sum_stride + c, local[s]);
      }
    }
  };
  const int64_t vectors_end = width / 8 * 8;
  for (int64_t p = 0; p < positions; p += kRows) {
    const int64_t rows = std::min(kRows, positions - p);
    channels(Float8{}, 0, vectors_end, p, rows);
    channels(float{}, vectors_end, width, p, rows);
  }
}

}  // namespace channel_loops_internal

// Calls the step for every element. `constants` [groups, kConstants, C].
// Sums over all that is not a channel, to sums(group, s, channel, double);
// `partial`: ChannelGrid::partial_sums doubles of scratch memory.
template <int kConstants, int kSums, typename Step, typename TakeSum>
void ReduceChannels(const ChannelGrid& grid, const float* constants,
                    double* partial, const Step& step,
                    const TakeSum& take_sum) {
  using namespace channel_loops_internal;  // NOLINT
  const int64_t channels = grid.channels;
  const int64_t tasks = static_cast<int64_t>(grid.runs.size()) * grid.blocks;
  const int64_t row_size = grid.positions * grid.width;
  // A thread is not worth waking for less than some 16,000 elements.
  const int64_t grain =
      16384 / std::max<int64_t>(1, row_size * grid.rows_per_run) + 1;
  ParallelFor(tasks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t run_index = task / grid.blocks;
      const int64_t block = task % grid.blocks;
      const ChannelGrid::Run& run = grid.runs[run_index];
      const int64_t channel = block * grid.width;
      const float* block_constants =
          constants + run.group * kConstants * channels + channel;
      double* sums = kSums > 0
                         ? partial + run_index * kSums * channels + channel
                         : nullptr;
      for (int s = 0; s < kSums; ++s) {
        std::fill_n(sums + s * channels, grid.width, 0.0);
      }
      for (int64_t row = run.rows.begin; row < run.rows.end; ++row) {
        const int64_t offset = (row * grid.blocks + block) * row_size;
        if (grid.blocks == 1 && grid.width > 1) {
          // Rows are adjacent: all of them at once.
          ChannelsInnermost<kConstants, kSums>(
              offset, run.rows.size() * grid.positions, grid.width,
              block_constants, channels, step, sums, channels);
          break;
        }
        switch (grid.width) {
          case 1:
            OneChannel<kConstants, kSums>(offset, grid.positions,
                                          block_constants, channels, step, sums,
                                          channels);
            break;
          case 8:
            OneBlock<8, kConstants, kSums>(offset, grid.positions,
                                           block_constants, channels, step,
                                           sums, channels);
            break;
          case 16:
            OneBlock<16, kConstants, kSums>(offset, grid.positions,
                                            block_constants, channels, step,
                                            sums, channels);
            break;
          default:
            LOG(FATAL) << "width " << grid.width;
        }
      }
    }
  });
  if constexpr (kSums > 0) {
    ParallelFor(channels, 64, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        size_t r = 0;
        for (int64_t group = 0; group < grid.groups; ++group) {
          double total[kSums] = {};
          for (; r < grid.runs.size() && grid.runs[r].group == group; ++r) {
            for (int s = 0; s < kSums; ++s) {
              total[s] += partial[(r * kSums + s) * channels + c];
            }
          }
          for (int s = 0; s < kSums; ++s) take_sum(group, s, c, total[s]);
        }
      }
    });
  }
}

// The same without sums.
template <int kConstants, typename Step>
void MapChannels(const ChannelGrid& grid, const float* constants,
                 const Step& step) {
  ReduceChannels<kConstants, 0>(grid, constants, nullptr, step,
                                [](int64_t, int, int64_t, double) {});
}

}  // namespace facet::ops

#endif  // FACET_OPS_CHANNEL_LOOPS_H_
