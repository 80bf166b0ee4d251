#include <algorithm>

#include "ops/elementwise.h"
#include "ops/half.h"
#include "ops/kernel.h"
#include "ops/parallel.h"

namespace facet::ops {
namespace {

// Columns that are summed together: their sums stay in registers.
constexpr int64_t kColumns = 32;

// The tensor is [outer, axis, inner]; the sum over `axis` is the same for any
// number of threads.

// inner == 1: rows of adjacent elements.
template <typename T>
float SumRow(const T* x, int64_t n) {
  Float8 sums[4] = {};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    for (int k = 0; k < 4; ++k) sums[k] += Load<Float8>(x + i + 8 * k);
  }
  const Float8 total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float sum = 0;
  for (int lane = 0; lane < 8; ++lane) sum += total[lane];
  for (; i < n; ++i) sum += static_cast<float>(x[i]);
  return sum;
}

// `columns` <= kColumns sums, of rows that are `stride` apart.
template <typename T>
void SumColumns(const T* x, int64_t rows, int64_t stride, int64_t columns,
                T* y) {
  if (columns == kColumns) {
    Float8 sums[kColumns / 8] = {};
    for (int64_t row = 0; row < rows; ++row, x += stride) {
      for (int k = 0; k < kColumns / 8; ++k) {
        sums[k] += Load<Float8>(x + 8 * k);
      }
    }
    for (int k = 0; k < kColumns / 8; ++k) Store<Float8>(y + 8 * k, sums[k]);
    return;
  }
  float sums[kColumns] = {};
  for (int64_t row = 0; row < rows; ++row, x += stride) {
    for (int64_t k = 0; k < columns; ++k) sums[k] += static_cast<float>(x[k]);
  }
  for (int64_t k = 0; k < columns; ++k) y[k] = static_cast<T>(sums[k]);
}

template <typename T>
void ReduceSum(const TensorView& x, int axis, const TensorView& y) {
  const Shape& shape = x.shape();
  const int64_t outer = shape.num_elements(0, axis);
  const int64_t rows = shape[axis];
  const int64_t inner = shape.num_elements(axis + 1, shape.rank());
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  const int64_t work = rows * std::min(inner, kColumns);
  ParallelFor(outer * blocks, kElementwiseGrain / work + 1,
              [&](int64_t begin, int64_t end) {
                for (int64_t task = begin; task < end; ++task) {
                  const int64_t o = task / blocks;
                  const int64_t column = task % blocks * kColumns;
                  const T* from = x.as<T>() + o * rows * inner + column;
                  T* to = y.as<T>() + o * inner + column;
                  if (inner == 1) {
                    *to = static_cast<T>(SumRow(from, rows));
                  } else {
                    SumColumns(from, rows, inner,
                               std::min(kColumns, inner - column), to);
                  }
                }
              });
}

}  // namespace

KernelDef ReduceSumCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const int axis = static_cast<int>(spec.attributes.Int("axis"));
    return Kernel([axis](const KernelContext& context) {
      VisitFloating(context.inputs[0].dtype(), [&](auto zero) {
        ReduceSum<decltype(zero)>(context.inputs[0], axis, context.outputs[0]);
      });
      return absl::OkStatus();
    });
  };
  return def;
}

}  // namespace facet::ops
