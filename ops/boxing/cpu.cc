#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "ops/boxing/regions.h"
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

// The boxes of a share; of a scalar, `scalar_boxes`. A share in another layout
// than row-major is only taken apart along dimension 0: its rows are contiguous
// in every layout.
std::vector<TensorSlice> Boxes(const Attributes& attributes,
                               const TensorSlice& share, int64_t scalar_boxes) {
  absl::StatusOr<std::vector<Region>> regions =
      ParseRegions(attributes.Ints("regions"), share.shape, scalar_boxes);
  CHECK(regions.ok()) << regions.status();  // infer has looked at them.
  std::vector<TensorSlice> boxes;
  for (const Region& region : *regions) {
    for (int i = 1; i < share.shape.rank(); ++i) {
      CHECK(share.layout == Layout::kRowMajor ||
            region.shape[i] == share.shape[i])
          << "box " << region.shape.ToString() << " of "
          << share.shape.ToString() << " in "
          << std::string(LayoutName(share.layout));
    }
    boxes.push_back({share.dtype, Layout::kRowMajor, region.shape, share.shape,
                     region.offset});
  }
  return boxes;
}

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

enum class Combine { kAssign, kSum, kMax };

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

double Lowest(DataType dtype) {
  switch (dtype) {
    case DataType::kInt32:
      return std::numeric_limits<int32_t>::lowest();
    case DataType::kInt64:  // -2^63, exact.
      return static_cast<double>(std::numeric_limits<int64_t>::lowest());
    default:
      return -std::numeric_limits<double>::infinity();
  }
}

absl::StatusOr<Kernel> CreateUnpack(const KernelSpec& spec) {
  const int64_t pieces =
      spec.inputs.empty() ? 0 : spec.inputs[0].num_elements();
  const std::string& combine_name = spec.attributes.String("combine");
  const Combine combine = combine_name == "sum"   ? Combine::kSum
                          : combine_name == "max" ? Combine::kMax
                                                  : Combine::kAssign;
  return Kernel([boxes = Boxes(spec.attributes, spec.outputs[0], pieces),
                 fill = spec.attributes.String("fill"),
                 combine](const KernelContext& context) {
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
