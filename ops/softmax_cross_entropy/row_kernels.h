// The CPU kernels of softmax cross-entropy over rows of logits, wherever these
// come from: stored (cpu.cc), or made from cosines (ops/margin_softmax).
//
// Rows are worked on in fixed blocks of columns, whose results are combined in
// order: the same for any number of threads. Within a block logits are made
// and used in chunks that stay in the first cache. `Logits`:
//
//   // Those of columns [begin, end) of the row, at most kLogitsPerChunk:
//   // where they lie, or in the buffer, which has room for them.
//   const float* Chunk(int64_t row, int64_t begin, int64_t end,
//                      float* buffer) const;
//   // From the gradients by the same logits those by what is stored.
//   void Backward(int64_t row, int64_t begin, int64_t end,
//                 const float* dlogits, float* dstored) const;
#ifndef FACET_OPS_SOFTMAX_CROSS_ENTROPY_ROW_KERNELS_H_
#define FACET_OPS_SOFTMAX_CROSS_ENTROPY_ROW_KERNELS_H_

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "ops/class_labels.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/row_blocks.h"
#include "ops/softmax_cross_entropy/exp.h"
#include "ops/softmax_cross_entropy/softmax.h"
#include "ops/status_macros.h"

namespace facet::ops {

inline constexpr int64_t kLogitsPerChunk = 1024;

// The workspace of the statistics of a matrix: one T per row and block of
// columns.
template <typename T>
absl::StatusOr<int64_t> BytesPerBlock(const Shape& matrix) {
  return matrix[0] * ColumnBlocks(matrix[1]) * static_cast<int64_t>(sizeof(T));
}

namespace internal {

// Calls body(first, last, logits of [first, last)) for the chunks of [begin,
// end), in order.
template <typename Logits, typename Body>
void ForChunks(const Logits& logits, int64_t row, int64_t begin, int64_t end,
               const Body& body) {
  alignas(64) float buffer[kLogitsPerChunk];
  for (; begin < end; begin += kLogitsPerChunk) {
    const int64_t last = std::min(end, begin + kLogitsPerChunk);
    body(begin, last, logits.Chunk(row, begin, last, buffer));
  }
}

// May lose what is not a number; SumExp finds it.
inline float Max(const float* x, int64_t size) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  Float8 wide[4];
  for (Float8& lane : wide) lane = Broadcast<Float8>(kLowest);
  int64_t i = 0;
  for (; i + 32 <= size; i += 32) {
    for (int u = 0; u < 4; ++u) {
      const Float8 value = Load<Float8>(x + i + 8 * u);
      wide[u] = value > wide[u] ? value : wide[u];
    }
  }
  float max = kLowest;
  for (const Float8& lanes : wide) {
    for (int lane = 0; lane < 8; ++lane) max = std::max(max, lanes[lane]);
  }
  for (; i < size; ++i) max = std::max(max, x[i]);
  return max;
}

// Of a chunk: floats are added up over at most 128 elements per lane.
inline double SumExp(const float* x, int64_t size, float max) {
  Float8 lanes = {};
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) lanes += Exp(Load<Float8>(x + i) - max);
  double sum = 0;
  for (int lane = 0; lane < 8; ++lane) sum += lanes[lane];
  for (; i < size; ++i) sum += Exp(x[i] - max);
  return sum;
}

}  // namespace internal

// The kernels below: `matrix` is what is stored, of logits [N, C].

template <typename Logits>
absl::Status RowMax(const Logits& logits, const TensorSlice& matrix,
                    void* workspace, float* max) {
  const Shape& shape = matrix.shape;
  const int64_t blocks = ColumnBlocks(shape[1]);
  float* partial = static_cast<float*>(workspace);
  ForRowBlocks(shape[0], shape[1],
               [&](int64_t row, int64_t block, int64_t begin, int64_t end) {
                 float of_block = -std::numeric_limits<float>::infinity();
                 internal::ForChunks(
                     logits, row, begin, end,
                     [&](int64_t first, int64_t last, const float* x) {
                       of_block =
                           std::max(of_block, internal::Max(x, last - first));
                     });
                 partial[row * blocks + block] = of_block;
               });
  for (int64_t row = 0; row < shape[0]; ++row) {
    max[row] =
        *std::max_element(partial + row * blocks, partial + (row + 1) * blocks);
  }
  return absl::OkStatus();
}

template <typename Logits>
absl::Status RowSumExp(const Logits& logits, const TensorSlice& matrix,
                       const float* max, void* workspace, float* sum) {
  const Shape& shape = matrix.shape;
  const int64_t blocks = ColumnBlocks(shape[1]);
  double* partial = static_cast<double*>(workspace);
  ForRowBlocks(shape[0], shape[1],
               [&](int64_t row, int64_t block, int64_t begin, int64_t end) {
                 double of_block = 0;
                 internal::ForChunks(
                     logits, row, begin, end,
                     [&](int64_t first, int64_t last, const float* x) {
                       of_block += internal::SumExp(x, last - first, max[row]);
                     });
                 partial[row * blocks + block] = of_block;
               });
  for (int64_t row = 0; row < shape[0]; ++row) {
    double total = 0;
    for (int64_t b = 0; b < blocks; ++b) total += partial[row * blocks + b];
    sum[row] = static_cast<float>(total);
  }
  return absl::OkStatus();
}

// Of the rows whose target is here, as a share of the mean over all rows.
template <typename Logits>
absl::Status MeanLoss(const Logits& logits, const TensorSlice& matrix,
                      const float* max, const float* sum,
                      const TensorView& labels, float* loss) {
  RETURN_IF_ERROR(CheckLabels(labels, matrix.global_shape[1]));
  const Shape& shape = matrix.shape;
  double total = 0;
  for (int64_t row = 0; row < shape[0]; ++row) {
    const int64_t column = labels.as<int32_t>()[row] - matrix.offset[1];
    if (column < 0 || column >= shape[1]) continue;
    float buffer[1];
    total += RowLoss(*logits.Chunk(row, column, column + 1, buffer), max[row],
                     sum[row]);
  }
  *loss =
      static_cast<float>(total / static_cast<double>(matrix.global_shape[0]));
  return absl::OkStatus();
}

// `dloss` is of the mean. `dstored` may be what is stored.
template <typename Logits>
absl::Status LossGradient(const Logits& logits, const TensorSlice& matrix,
                          const float* max, const float* sum,
                          const TensorView& labels, float dloss,
                          float* dstored) {
  RETURN_IF_ERROR(CheckLabels(labels, matrix.global_shape[1]));
  const Shape& shape = matrix.shape;
  const float of_row = dloss / static_cast<float>(matrix.global_shape[0]);
  ForRowBlocks(
      shape[0], shape[1],
      [&](int64_t row, int64_t, int64_t begin, int64_t end) {
        const int64_t target = labels.as<int32_t>()[row] - matrix.offset[1];
        internal::ForChunks(
            logits, row, begin, end,
            [&](int64_t first, int64_t last, const float* x) {
              alignas(64) float dlogits[kLogitsPerChunk];
              ForElements(0, last - first, [&](auto v, int64_t i) {
                using V = decltype(v);
                Store<V>(dlogits + i,
                         PlainLogitGradient(Exp(Load<V>(x + i) - max[row]),
                                            sum[row], of_row));
              });
              if (target >= first && target < last) {
                dlogits[target - first] = TargetLogitGradient(
                    Exp(x[target - first] - max[row]), sum[row], of_row);
              }
              logits.Backward(row, first, last, dlogits,
                              dstored + row * shape[1] + first);
            });
      });
  return absl::OkStatus();
}

}  // namespace facet::ops

#endif  // FACET_OPS_SOFTMAX_CROSS_ENTROPY_ROW_KERNELS_H_
