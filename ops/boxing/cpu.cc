#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "ops/boxing/boxes.h"
#include "ops/elementwise.h"
#include "ops/fill/fill_constant.h"
#include "ops/half.h"
#include "ops/kernel.h"
#include "ops/parallel.h"
#include "ops/slice_runs.h"

namespace facet::ops {
namespace {

// Elements that are worth waking another thread for.
constexpr int64_t kGrain = 32768;

// Calls run(packed, in_share, count) for the contiguous runs of all boxes.
template <typename Run>
void ForEachRunOf(const std::vector<TensorSlice>& boxes, const Run& run) {
  int64_t packed = 0;
  for (const TensorSlice& box : boxes) {
    ParallelFor(box.num_elements(), kGrain, [&](int64_t begin, int64_t end) {
      ForEachRun(box, begin, end,
                 [&](int64_t local, int64_t in_share, int64_t count) {
                   run(packed + local, in_share, count);
                 });
    });
    packed += box.num_elements();
  }
}

absl::StatusOr<Kernel> CreatePack(const KernelSpec& spec) {
  // Of a scalar, as many copies as there is room for.
  return Kernel([boxes = Boxes(spec.attributes, spec.inputs[0],
                               spec.outputs[0].num_elements())](
                    const KernelContext& context) {
    const int64_t size = SizeInBytes(context.inputs[0].dtype());
    const char* from = context.inputs[0].as<char>();
    char* to = context.outputs[0].as<char>();
    ForEachRunOf(boxes, [=](int64_t packed, int64_t in_share, int64_t count) {
      std::memcpy(to + packed * size, from + in_share * size, count * size);
    });
    return absl::OkStatus();
  });
}

// y = y + x or max(y, x), for half types in float32.
template <typename T, Combine kCombine>
void CombineRun(const T* x, T* y, int64_t count) {
  if constexpr (std::is_integral_v<T>) {
    for (int64_t i = 0; i < count; ++i) {
      y[i] = kCombine == Combine::kSum ? y[i] + x[i] : std::max(y[i], x[i]);
    }
  } else {
    ForElements(0, count, [=](auto v, int64_t i) {
      using V = decltype(v);
      const V a = Load<V>(y + i);
      const V b = Load<V>(x + i);
      Store<V>(y + i, kCombine == Combine::kSum ? V(a + b) : V(a < b ? b : a));
    });
  }
}

template <typename F>
void VisitAny(DataType dtype, const F& f) {
  if (dtype == DataType::kInt32) return f(int32_t{});
  if (dtype == DataType::kInt64) return f(int64_t{});
  VisitFloating(dtype, f);
}

template <Combine kCombine>
void CombineBoxes(const std::vector<TensorSlice>& boxes, const TensorView& x,
                  const TensorView& y) {
  VisitAny(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.as<T>();
    T* to = y.as<T>();
    ForEachRunOf(boxes, [=](int64_t packed, int64_t in_share, int64_t count) {
      CombineRun<T, kCombine>(from + packed, to + in_share, count);
    });
  });
}

void AssignBoxes(const std::vector<TensorSlice>& boxes, const TensorView& x,
                 const TensorView& y) {
  const int64_t size = SizeInBytes(x.dtype());
  const char* from = x.as<char>();
  char* to = y.as<char>();
  ForEachRunOf(boxes, [=](int64_t packed, int64_t in_share, int64_t count) {
    std::memcpy(to + in_share * size, from + packed * size, count * size);
  });
}

absl::StatusOr<Kernel> CreateUnpack(const KernelSpec& spec) {
  const int64_t pieces =
      spec.inputs.empty() ? 0 : spec.inputs[0].num_elements();
  return Kernel([boxes = Boxes(spec.attributes, spec.outputs[0], pieces),
                 fill = spec.attributes.String("fill"),
                 combine = CombineFromAttributes(spec.attributes)](
                    const KernelContext& context) {
    const TensorView& y = context.outputs[0];
    if (fill == "zero") FillConstant(y, 0);
    if (fill == "lowest") FillConstant(y, Lowest(y.dtype()));
    if (context.inputs.empty()) return absl::OkStatus();
    const TensorView& x = context.inputs[0];
    switch (combine) {
      case Combine::kAssign:
        AssignBoxes(boxes, x, y);
        break;
      case Combine::kSum:
        CombineBoxes<Combine::kSum>(boxes, x, y);
        break;
      case Combine::kMax:
        CombineBoxes<Combine::kMax>(boxes, x, y);
        break;
    }
    return absl::OkStatus();
  });
}

}  // namespace

// Placement has replaced every boxing node before kernels are made.
KernelDef BoxingCpuKernel() { return {}; }
KernelDef PackRegionsCpuKernel() { return {nullptr, CreatePack}; }
KernelDef UnpackRegionsCpuKernel() { return {nullptr, CreateUnpack}; }

}  // namespace facet::ops
