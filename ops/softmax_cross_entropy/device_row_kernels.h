// The CUDA kernels of softmax cross-entropy over rows of logits, wherever these
// come from: stored (cuda.cu), or made from cosines (ops/margin_softmax).
//
// Statistics are taken piece by piece of a row, then combined in order. The
// host does not see the labels: one that is no class makes the loss NaN, and
// its row's gradient. `Logits`, which kernels get by value:
//
//   // If not, Target and TargetBackward are as Plain and PlainBackward.
//   static constexpr bool kMarksTarget;
//   // A logit of what is stored, of a class that is not the row's label, and
//   // of the one that is.
//   float Plain(float stored) const;
//   float Target(float stored) const;
//   // From the gradient by the logit that by what is stored.
//   float PlainBackward(float dlogit, float stored) const;
//   float TargetBackward(float dlogit, float stored) const;
#ifndef FACET_OPS_SOFTMAX_CROSS_ENTROPY_DEVICE_ROW_KERNELS_H_
#define FACET_OPS_SOFTMAX_CROSS_ENTROPY_DEVICE_ROW_KERNELS_H_

#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/device_span.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/cuda/row_pieces.h"
#include "ops/kernel.h"
#include "ops/softmax_cross_entropy/softmax.h"
#include "ops/status_macros.h"

namespace facet::ops {

// The workspace of the statistics of a matrix: one T per piece.
template <typename T>
absl::StatusOr<int64_t> BytesPerPiece(const Shape& matrix) {
  const RowPieces pieces = {matrix[0], matrix[1]};
  return pieces.rows * pieces.per_row() * static_cast<int64_t>(sizeof(T));
}

namespace internal {

// Which part of the logical logits is here.
struct LogitShare {
  RowPieces pieces;
  int64_t first_class;
  int64_t num_classes;  // Of all devices.
  float batch;          // Of all devices.

  explicit LogitShare(const TensorSlice& logits)
      : pieces{logits.shape[0], logits.shape[1]},
        first_class(logits.offset[1]),
        num_classes(logits.global_shape[1]),
        batch(static_cast<float>(logits.global_shape[0])) {}
  FACET_HOST_DEVICE bool IsClass(int64_t label) const {
    return label >= 0 && label < num_classes;
  }
};

// Calls body(column, logit) for the calling thread's columns of the block's
// piece: first those that are no target, then, if it is here, the target by
// one thread. So its formula, which may be long, is not in the loop.
template <typename Logits, typename Body>
__device__ inline void ForLogits(const LogitShare& share, const Logits& logits,
                                 const DeviceSpan<const float>& stored,
                                 const DeviceSpan<const int32_t>& labels,
                                 const Body& body) {
  const RowPieces& pieces = share.pieces;
  const int64_t row = pieces.row() * pieces.columns;
  const int64_t first = pieces.first_column(), end = pieces.end_column();
  int64_t target = -1;
  if constexpr (Logits::kMarksTarget) {
    target = labels.Load(pieces.row()) - share.first_class;
  }
  for (int64_t c = first + threadIdx.x; c < end; c += blockDim.x) {
    if (c != target) body(c, logits.Plain(stored.Load(row + c)));
  }
  if (threadIdx.x == 0 && target >= first && target < end) {
    body(target, logits.Target(stored.Load(row + target)));
  }
}

// Reads the matrix once.
template <typename Logits>
__global__ void __launch_bounds__(kBlockThreads)
    MaxKernel(LogitShare share, Logits logits, DeviceSpan<const float> stored,
              DeviceSpan<const int32_t> labels, DeviceSpan<float> partial) {
  float max = -INFINITY;
  ForLogits(share, logits, stored, labels,
            [&](int64_t, float logit) { max = Max{}(max, logit); });
  max = ReduceBlock(max, Max{}, -INFINITY);
  if (threadIdx.x == 0) partial.Store(blockIdx.x, max);
}

// Reads the matrix once; an exponential per element.
template <typename Logits>
__global__ void __launch_bounds__(kBlockThreads)
    SumExpKernel(LogitShare share, Logits logits,
                 DeviceSpan<const float> stored,
                 DeviceSpan<const int32_t> labels,
                 DeviceSpan<const float> row_max, DeviceSpan<double> partial) {
  const float max = row_max.Load(share.pieces.row());
  float sum = 0;  // Of 17 terms at most.
  ForLogits(share, logits, stored, labels,
            [&](int64_t, float logit) { sum += expf(logit - max); });
  const double total = ReduceBlock(static_cast<double>(sum), Sum{}, 0.0);
  if (threadIdx.x == 0) partial.Store(blockIdx.x, total);
}

// A thread per row.
template <typename T, typename Combine>
__global__ void CombinePiecesKernel(RowPieces pieces, Combine combine,
                                    DeviceSpan<const T> partial,
                                    DeviceSpan<float> y) {
  for (int64_t row = GridThread(); row < pieces.rows; row += GridThreads()) {
    T total = partial.Load(row * pieces.per_row());
    for (int64_t p = 1; p < pieces.per_row(); ++p) {
      total = combine(total, partial.Load(row * pieces.per_row() + p));
    }
    y.Store(row, static_cast<float>(total));
  }
}

template <typename T, typename Combine>
absl::Status CombinePieces(const CudaContext& cuda, const RowPieces& pieces,
                           const Combine& combine, DeviceSpan<const T> partial,
                           DeviceSpan<float> y) {
  return Launch(CombinePiecesKernel<T, Combine>,
                {dim3(cuda.BlocksFor(pieces.rows))}, cuda.stream(), pieces,
                combine, partial, y);
}

// One block. Reads one logit per row.
template <typename Logits>
__global__ void __launch_bounds__(kBlockThreads)
    LossKernel(LogitShare share, Logits logits, DeviceSpan<const float> stored,
               DeviceSpan<const float> max, DeviceSpan<const float> sum,
               DeviceSpan<const int32_t> labels, DeviceSpan<float> loss) {
  double total = 0;
  for (int64_t row = threadIdx.x; row < share.pieces.rows; row += blockDim.x) {
    const int64_t label = labels.Load(row);
    const int64_t column = label - share.first_class;
    if (!share.IsClass(label)) {
      total += NAN;
    } else if (column >= 0 && column < share.pieces.columns) {
      const float logit =
          logits.Target(stored.Load(row * share.pieces.columns + column));
      total += RowLoss(logit, max.Load(row), sum.Load(row));
    }
  }
  total = ReduceBlock(total, Sum{}, 0.0);
  if (threadIdx.x == 0) loss.Store(0, static_cast<float>(total / share.batch));
}

// Reads what is stored and writes its gradient once; an exponential per
// element.
template <typename Logits>
__global__ void __launch_bounds__(kBlockThreads)
    LossGradKernel(LogitShare share, Logits logits,
                   DeviceSpan<const float> stored,
                   DeviceSpan<const float> row_max,
                   DeviceSpan<const float> row_sum,
                   DeviceSpan<const int32_t> labels,
                   DeviceSpan<const float> dloss, DeviceSpan<float> dstored) {
  const RowPieces& pieces = share.pieces;
  const float max = row_max.Load(pieces.row());
  const float sum = row_sum.Load(pieces.row());
  const int64_t label = labels.Load(pieces.row());
  const int64_t target = label - share.first_class;
  const float of_row = share.IsClass(label) ? dloss.Load(0) / share.batch : NAN;
  const int64_t row = pieces.row() * pieces.columns;
  const int64_t first = pieces.first_column(), end = pieces.end_column();
  for (int64_t c = first + threadIdx.x; c < end; c += blockDim.x) {
    if (c == target) continue;
    const float x = stored.Load(row + c);
    const float exponential = expf(logits.Plain(x) - max);
    dstored.Store(
        row + c,
        logits.PlainBackward(PlainLogitGradient(exponential, sum, of_row), x));
  }
  if (threadIdx.x == 0 && target >= first && target < end) {
    const float x = stored.Load(row + target);
    const float exponential = expf(logits.Target(x) - max);
    dstored.Store(row + target,
                  logits.TargetBackward(
                      TargetLogitGradient(exponential, sum, of_row), x));
  }
}

}  // namespace internal

// What runs them: `stored` is the matrix [N, C] that the logits are made of.

template <typename Logits>
absl::Status RowMax(const KernelContext& context, const Logits& logits,
                    const TensorView& stored,
                    DeviceSpan<const int32_t> labels) {
  const internal::LogitShare share(stored.slice);
  const RowPieces& pieces = share.pieces;
  const DeviceSpan<float> partial(static_cast<float*>(context.workspace),
                                  pieces.rows * pieces.per_row());
  RETURN_IF_ERROR(Launch(internal::MaxKernel<Logits>, pieces.shape(),
                         context.cuda->stream(), share, logits,
                         DeviceSpan<const float>(stored), labels, partial));
  return internal::CombinePieces<float>(*context.cuda, pieces, Max{}, partial,
                                        DeviceSpan<float>(context.outputs[0]));
}

template <typename Logits>
absl::Status RowSumExp(const KernelContext& context, const Logits& logits,
                       const TensorView& stored,
                       DeviceSpan<const int32_t> labels,
                       const TensorView& max) {
  const internal::LogitShare share(stored.slice);
  const RowPieces& pieces = share.pieces;
  const DeviceSpan<double> partial(static_cast<double*>(context.workspace),
                                   pieces.rows * pieces.per_row());
  RETURN_IF_ERROR(Launch(internal::SumExpKernel<Logits>, pieces.shape(),
                         context.cuda->stream(), share, logits,
                         DeviceSpan<const float>(stored), labels,
                         DeviceSpan<const float>(max), partial));
  return internal::CombinePieces<double>(*context.cuda, pieces, Sum{}, partial,
                                         DeviceSpan<float>(context.outputs[0]));
}

template <typename Logits>
absl::Status MeanLoss(const KernelContext& context, const Logits& logits,
                      const TensorView& stored, const TensorView& max,
                      const TensorView& sum, const TensorView& labels) {
  return Launch(internal::LossKernel<Logits>, {dim3(1)}, context.cuda->stream(),
                internal::LogitShare(stored.slice), logits,
                DeviceSpan<const float>(stored), DeviceSpan<const float>(max),
                DeviceSpan<const float>(sum), DeviceSpan<const int32_t>(labels),
                DeviceSpan<float>(context.outputs[0]));
}

template <typename Logits>
absl::Status LossGradient(const KernelContext& context, const Logits& logits,
                          const TensorView& stored, const TensorView& max,
                          const TensorView& sum, const TensorView& labels,
                          const TensorView& dloss) {
  const internal::LogitShare share(stored.slice);
  return Launch(internal::LossGradKernel<Logits>, share.pieces.shape(),
                context.cuda->stream(), share, logits,
                DeviceSpan<const float>(stored), DeviceSpan<const float>(max),
                DeviceSpan<const float>(sum), DeviceSpan<const int32_t>(labels),
                DeviceSpan<const float>(dloss),
                DeviceSpan<float>(context.outputs[0]));
}

}  // namespace facet::ops

#endif  // FACET_OPS_SOFTMAX_CROSS_ENTROPY_DEVICE_ROW_KERNELS_H_
