// Rows are worked on in fixed blocks of columns, whose results are combined in
// order: the same for any number of threads.
#include <limits>

#include "ops/class_labels.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/row_blocks.h"
#include "ops/softmax_cross_entropy/exp.h"
#include "ops/softmax_cross_entropy/softmax.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// The workspace: one T per row and block of columns.
template <typename T>
absl::StatusOr<int64_t> BytesPerBlock(const KernelSpec& spec) {
  const Shape& shape = spec.inputs[0].shape;
  return shape[0] * ColumnBlocks(shape[1]) * static_cast<int64_t>(sizeof(T));
}

// May lose what is not a number; row_sum_exp finds it.
float BlockMax(const float* x, int64_t begin, int64_t end) {
  Float8 wide[4];
  for (Float8& lane : wide) lane = Broadcast<Float8>(kLowest);
  int64_t i = begin;
  for (; i + 32 <= end; i += 32) {
    for (int u = 0; u < 4; ++u) {
      const Float8 value = Load<Float8>(x + i + 8 * u);
      wide[u] = value > wide[u] ? value : wide[u];
    }
  }
  float max = kLowest;
  for (const Float8& lanes : wide) {
    for (int lane = 0; lane < 8; ++lane) max = std::max(max, lanes[lane]);
  }
  for (; i < end; ++i) max = std::max(max, x[i]);
  return max;
}

// Floats are added up over at most 128 elements per lane.
double BlockSumExp(const float* x, int64_t begin, int64_t end, float max) {
  constexpr int64_t kChunk = 1024;
  double sum = 0;
  while (begin < end) {
    const int64_t chunk_end = std::min(end, begin + kChunk);
    Float8 lanes = {};
    int64_t i = begin;
    for (; i + 8 <= chunk_end; i += 8) lanes += Exp(Load<Float8>(x + i) - max);
    for (int lane = 0; lane < 8; ++lane) sum += lanes[lane];
    for (; i < chunk_end; ++i) sum += Exp(x[i] - max);
    begin = chunk_end;
  }
  return sum;
}

absl::Status RowMax(const KernelContext& context) {
  const Shape& shape = context.inputs[0].shape();
  const int64_t blocks = ColumnBlocks(shape[1]);
  const float* x = context.inputs[0].as<float>();
  float* partial = static_cast<float*>(context.workspace);
  ForRowBlocks(shape[0], shape[1],
               [&](int64_t row, int64_t block, int64_t begin, int64_t end) {
                 partial[row * blocks + block] =
                     BlockMax(x + row * shape[1], begin, end);
               });
  float* result = context.outputs[0].as<float>();
  for (int64_t row = 0; row < shape[0]; ++row) {
    result[row] =
        *std::max_element(partial + row * blocks, partial + (row + 1) * blocks);
  }
  return absl::OkStatus();
}

absl::Status RowSumExp(const KernelContext& context) {
  const Shape& shape = context.inputs[0].shape();
  const int64_t blocks = ColumnBlocks(shape[1]);
  const float* x = context.inputs[0].as<float>();
  const float* max = context.inputs[1].as<float>();
  double* partial = static_cast<double*>(context.workspace);
  ForRowBlocks(shape[0], shape[1],
               [&](int64_t row, int64_t block, int64_t begin, int64_t end) {
                 partial[row * blocks + block] =
                     BlockSumExp(x + row * shape[1], begin, end, max[row]);
               });
  float* result = context.outputs[0].as<float>();
  for (int64_t row = 0; row < shape[0]; ++row) {
    double sum = 0;
    for (int64_t b = 0; b < blocks; ++b) sum += partial[row * blocks + b];
    result[row] = static_cast<float>(sum);
  }
  return absl::OkStatus();
}

absl::Status Loss(const KernelContext& context) {
  const TensorView& logits = context.inputs[0];
  const float* max = context.inputs[1].as<float>();
  const float* sum = context.inputs[2].as<float>();
  const int32_t* labels = context.inputs[3].as<int32_t>();
  RETURN_IF_ERROR(CheckLabels(context.inputs[3], logits.slice.global_shape[1]));
  const Shape& shape = logits.shape();
  double total = 0;
  for (int64_t row = 0; row < shape[0]; ++row) {
    const int64_t column = labels[row] - logits.slice.offset[1];
    if (column < 0 || column >= shape[1]) continue;
    total += RowLoss(logits.as<float>()[row * shape[1] + column], max[row],
                     sum[row]);
  }
  *context.outputs[0].as<float>() = static_cast<float>(
      total / static_cast<double>(logits.slice.global_shape[0]));
  return absl::OkStatus();
}

absl::Status LossGradient(const KernelContext& context) {
  const TensorView& logits = context.inputs[0];
  const float* max = context.inputs[1].as<float>();
  const float* sum = context.inputs[2].as<float>();
  const int32_t* labels = context.inputs[3].as<int32_t>();
  RETURN_IF_ERROR(CheckLabels(context.inputs[3], logits.slice.global_shape[1]));
  const float dloss = *context.inputs[4].as<float>() /
                      static_cast<float>(logits.slice.global_shape[0]);
  const Shape& shape = logits.shape();
  ForRowBlocks(shape[0], shape[1],
               [&](int64_t row, int64_t, int64_t begin, int64_t end) {
                 const float* x = logits.as<float>() + row * shape[1];
                 float* dx = context.outputs[0].as<float>() + row * shape[1];
                 const int64_t column = labels[row] - logits.slice.offset[1];
                 const bool is_here = column >= begin && column < end;
                 // Before it is overwritten, as dx may be x.
                 const float target =
                     is_here ? TargetLogitGradient(Exp(x[column] - max[row]),
                                                   sum[row], dloss)
                             : 0.0f;
                 ForElements(begin, end, [&](auto v, int64_t i) {
                   using V = decltype(v);
                   Store<V>(dx + i,
                            PlainLogitGradient(Exp(Load<V>(x + i) - max[row]),
                                               sum[row], dloss));
                 });
                 if (is_here) dx[column] = target;
               });
  return absl::OkStatus();
}

KernelDef Stateless(absl::Status (*run)(const KernelContext&)) {
  KernelDef def;
  def.create = [run](const KernelSpec&) -> absl::StatusOr<Kernel> {
    return Kernel(run);
  };
  return def;
}

}  // namespace

KernelDef RowMaxCpuKernel() {
  KernelDef def = Stateless(RowMax);
  def.workspace_bytes = BytesPerBlock<float>;
  return def;
}

KernelDef RowSumExpCpuKernel() {
  KernelDef def = Stateless(RowSumExp);
  def.workspace_bytes = BytesPerBlock<double>;
  return def;
}

KernelDef SoftmaxCrossEntropyCpuKernel() { return Stateless(Loss); }

KernelDef SoftmaxCrossEntropyGradCpuKernel() { return Stateless(LossGradient); }

}  // namespace facet::ops
