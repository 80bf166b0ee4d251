// Statistics are taken piece by piece of a row, then combined in order. The
// host does not see the labels: one that is no class makes the loss NaN, and
// its row's gradient.
#include <cmath>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/reduce.h"
#include "ops/cuda/row_pieces.h"
#include "ops/kernel.h"
#include "ops/softmax_cross_entropy/softmax.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

RowPieces PiecesOf(const Shape& shape) { return {shape[0], shape[1]}; }

// One T per piece: the workspace.
template <typename T>
absl::StatusOr<int64_t> BytesPerPiece(const KernelSpec& spec) {
  const RowPieces pieces = PiecesOf(spec.inputs[0].shape);
  return pieces.rows * pieces.per_row() * static_cast<int64_t>(sizeof(T));
}

template <typename T>
DeviceSpan<T> Partial(const KernelContext& context, const RowPieces& pieces) {
  return {static_cast<T*>(context.workspace), pieces.rows * pieces.per_row()};
}

// Reads x once.
__global__ void __launch_bounds__(kBlockThreads)
    MaxKernel(RowPieces pieces, DeviceSpan<const float> x,
              DeviceSpan<float> partial) {
  float max = -INFINITY;
  for (int64_t c = pieces.first_column() + threadIdx.x; c < pieces.end_column();
       c += blockDim.x) {
    max = Max{}(max, x.Load(pieces.row() * pieces.columns + c));
  }
  max = ReduceBlock(max, Max{}, -INFINITY);
  if (threadIdx.x == 0) partial.Store(blockIdx.x, max);
}

// Reads x once; an exponential per element.
__global__ void __launch_bounds__(kBlockThreads)
    SumExpKernel(RowPieces pieces, DeviceSpan<const float> x,
                 DeviceSpan<const float> row_max, DeviceSpan<double> partial) {
  const float max = row_max.Load(pieces.row());
  float sum = 0;  // Of 16 terms.
  for (int64_t c = pieces.first_column() + threadIdx.x; c < pieces.end_column();
       c += blockDim.x) {
    sum += expf(x.Load(pieces.row() * pieces.columns + c) - max);
  }
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
absl::Status CombinePieces(const KernelContext& context,
                           const RowPieces& pieces, const Combine& combine) {
  return Launch(CombinePiecesKernel<T, Combine>,
                {dim3(context.cuda->BlocksFor(pieces.rows))},
                context.cuda->stream(), pieces, combine,
                Partial<const T>(context, pieces),
                DeviceSpan<float>(context.outputs[0]));
}

absl::Status RowMax(const KernelContext& context) {
  const RowPieces pieces = PiecesOf(context.inputs[0].shape());
  RETURN_IF_ERROR(Launch(MaxKernel, pieces.shape(), context.cuda->stream(),
                         pieces, DeviceSpan<const float>(context.inputs[0]),
                         Partial<float>(context, pieces)));
  return CombinePieces<float>(context, pieces, Max{});
}

absl::Status RowSumExp(const KernelContext& context) {
  const RowPieces pieces = PiecesOf(context.inputs[0].shape());
  RETURN_IF_ERROR(Launch(SumExpKernel, pieces.shape(), context.cuda->stream(),
                         pieces, DeviceSpan<const float>(context.inputs[0]),
                         DeviceSpan<const float>(context.inputs[1]),
                         Partial<double>(context, pieces)));
  return CombinePieces<double>(context, pieces, Sum{});
}

// Which part of the logical logits is here.
struct Share {
  RowPieces pieces;
  int64_t first_class;
  int64_t num_classes;  // Of all devices.
  float batch;          // Of all devices.

  explicit Share(const TensorSlice& logits)
      : pieces(PiecesOf(logits.shape)),
        first_class(logits.offset[1]),
        num_classes(logits.global_shape[1]),
        batch(static_cast<float>(logits.global_shape[0])) {}
  FACET_HOST_DEVICE bool IsClass(int64_t label) const {
    return label >= 0 && label < num_classes;
  }
};

// One block. Reads one logit per row.
__global__ void __launch_bounds__(kBlockThreads)
    LossKernel(Share share, DeviceSpan<const float> logits,
               DeviceSpan<const float> max, DeviceSpan<const float> sum,
               DeviceSpan<const int32_t> labels, DeviceSpan<float> loss) {
  double total = 0;
  for (int64_t row = threadIdx.x; row < share.pieces.rows; row += blockDim.x) {
    const int64_t label = labels.Load(row);
    const int64_t column = label - share.first_class;
    if (!share.IsClass(label)) {
      total += NAN;
    } else if (column >= 0 && column < share.pieces.columns) {
      total += RowLoss(logits.Load(row * share.pieces.columns + column),
                       max.Load(row), sum.Load(row));
    }
  }
  total = ReduceBlock(total, Sum{}, 0.0);
  if (threadIdx.x == 0) loss.Store(0, static_cast<float>(total / share.batch));
}

// Reads the logits and writes their gradient once; an exponential per element.
__global__ void __launch_bounds__(kBlockThreads)
    LossGradKernel(Share share, DeviceSpan<const float> logits,
                   DeviceSpan<const float> row_max,
                   DeviceSpan<const float> row_sum,
                   DeviceSpan<const int32_t> labels,
                   DeviceSpan<const float> dloss, DeviceSpan<float> dlogits) {
  const RowPieces& pieces = share.pieces;
  const int64_t row = pieces.row();
  const float max = row_max.Load(row);
  const float sum = row_sum.Load(row);
  const int64_t label = labels.Load(row);
  const int64_t target = label - share.first_class;
  const float of_row = share.IsClass(label) ? dloss.Load(0) / share.batch : NAN;
  for (int64_t c = pieces.first_column() + threadIdx.x; c < pieces.end_column();
       c += blockDim.x) {
    const int64_t i = row * pieces.columns + c;
    const float exponential = expf(logits.Load(i) - max);
    dlogits.Store(i, c == target
                         ? TargetLogitGradient(exponential, sum, of_row)
                         : PlainLogitGradient(exponential, sum, of_row));
  }
}

absl::Status Loss(const KernelContext& context) {
  return Launch(LossKernel, {dim3(1)}, context.cuda->stream(),
                Share(context.inputs[0].slice),
                DeviceSpan<const float>(context.inputs[0]),
                DeviceSpan<const float>(context.inputs[1]),
                DeviceSpan<const float>(context.inputs[2]),
                DeviceSpan<const int32_t>(context.inputs[3]),
                DeviceSpan<float>(context.outputs[0]));
}

absl::Status LossGradient(const KernelContext& context) {
  const Share share(context.inputs[0].slice);
  return Launch(LossGradKernel, share.pieces.shape(), context.cuda->stream(),
                share, DeviceSpan<const float>(context.inputs[0]),
                DeviceSpan<const float>(context.inputs[1]),
                DeviceSpan<const float>(context.inputs[2]),
                DeviceSpan<const int32_t>(context.inputs[3]),
                DeviceSpan<const float>(context.inputs[4]),
                DeviceSpan<float>(context.outputs[0]));
}

KernelDef Stateless(absl::Status (*run)(const KernelContext&)) {
  KernelDef def;
  def.create = [run](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(run);
  };
  return def;
}

}  // namespace

KernelDef RowMaxCudaKernel() {
  KernelDef def = Stateless(RowMax);
  def.workspace_bytes = BytesPerPiece<float>;
  return def;
}

KernelDef RowSumExpCudaKernel() {
  KernelDef def = Stateless(RowSumExp);
  def.workspace_bytes = BytesPerPiece<double>;
  return def;
}

KernelDef SoftmaxCrossEntropyCudaKernel() { return Stateless(Loss); }
KernelDef SoftmaxCrossEntropyGradCudaKernel() {
  return Stateless(LossGradient);
}

}  // namespace facet::ops
