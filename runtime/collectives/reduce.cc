#include "runtime/collectives/reduce.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "ops/half.h"

namespace facet::runtime {
namespace {

// A block stays in the first-level cache while it is accumulated.
constexpr int64_t kBlock = 2048;

template <typename T, typename Accumulator, typename Op>
void Reduce(absl::Span<const void* const> ins, absl::Span<void* const> outs,
            int64_t begin, int64_t end, const Op& op) {
  Accumulator total[kBlock];
  T rounded[kBlock];
  for (int64_t start = begin; start < end; start += kBlock) {
    const int64_t n = std::min(kBlock, end - start);
    const T* first = static_cast<const T*>(ins[0]) + start;
    for (int64_t i = 0; i < n; ++i) {
      total[i] = static_cast<Accumulator>(first[i]);
    }
    for (const void* in : ins.subspan(1)) {
      const T* next = static_cast<const T*>(in) + start;
      for (int64_t i = 0; i < n; ++i) {
        total[i] = op(total[i], static_cast<Accumulator>(next[i]));
      }
    }
    const void* result = total;
    if constexpr (!std::is_same_v<T, Accumulator>) {
      for (int64_t i = 0; i < n; ++i) rounded[i] = static_cast<T>(total[i]);
      result = rounded;
    }
    for (void* out : outs) {
      std::memcpy(static_cast<T*>(out) + start, result, n * sizeof(T));
    }
  }
}

template <typename T, typename Accumulator>
void ReduceWith(ReduceOp op, absl::Span<const void* const> ins,
                absl::Span<void* const> outs, int64_t begin, int64_t end) {
  if (op == ReduceOp::kSum) {
    Reduce<T, Accumulator>(ins, outs, begin, end,
                           [](Accumulator a, Accumulator b) { return a + b; });
  } else {
    // NaN wins, as it does in a maximum over one device's array: a loss that
    // is not finite must not be hidden by a reduction.
    Reduce<T, Accumulator>(
        ins, outs, begin, end,
        [](Accumulator a, Accumulator b) { return a > b || a != a ? a : b; });
  }
}

}  // namespace

void ReduceInOrder(ReduceOp op, ops::DataType dtype,
                   absl::Span<const void* const> ins,
                   absl::Span<void* const> outs, int64_t begin, int64_t end) {
  switch (dtype) {
    case ops::DataType::kInt32:
      return ReduceWith<int32_t, int32_t>(op, ins, outs, begin, end);
    case ops::DataType::kInt64:
      return ReduceWith<int64_t, int64_t>(op, ins, outs, begin, end);
    case ops::DataType::kFloat32:
      return ReduceWith<float, float>(op, ins, outs, begin, end);
    case ops::DataType::kFloat16:
      return ReduceWith<ops::Float16, float>(op, ins, outs, begin, end);
    case ops::DataType::kBFloat16:
      return ReduceWith<ops::BFloat16, float>(op, ins, outs, begin, end);
  }
}

}  // namespace facet::runtime
