// A box that is contiguous in its share, as all are that are cut along
// dimension 0, is one copy. The others go element by element: each is read once
// and written once, and read before where pieces are combined.
#include <string>
#include <type_traits>
#include <vector>

#include "ops/boxing/boxes.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/cuda_error.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/slice_index.h"
#include "ops/fill/device_fill.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// Of memory alone: the element's size decides.
template <typename F>
auto VisitBits(DataType dtype, const F& f) {
  switch (SizeInBytes(dtype)) {
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

template <typename F>
auto VisitAny(DataType dtype, const F& f) {
  if (dtype == DataType::kInt32) return f(int32_t{});
  if (dtype == DataType::kInt64) return f(int64_t{});
  return VisitElement(dtype, f);
}

bool IsContiguous(const TensorSlice& box) {
  for (int i = 1; i < box.shape.rank(); ++i) {
    if (box.shape[i] != box.global_shape[i]) return false;
  }
  return true;
}

// Of a contiguous box: its first element in the share.
int64_t FirstInShare(const TensorSlice& box) {
  const int rank = box.shape.rank();
  return rank == 0 ? 0 : box.offset[0] * box.global_shape.num_elements(1, rank);
}

template <typename T>
__global__ void PackKernel(SliceIndex box, DeviceSpan<const T> share,
                           DeviceSpan<T> packed) {
  for (int64_t i = GridThread(); i < packed.size(); i += GridThreads()) {
    packed.Store(i, share.Load(box.Global(i)));
  }
}

struct Assign {
  template <typename T>
  __device__ T operator()(const DeviceSpan<T>&, int64_t, T x) const {
    return x;
  }
};

template <bool kIsSum>
struct CombineWith {
  template <typename V>
  __device__ static V Of(V a, V b) {
    return kIsSum ? V(a + b) : (a < b ? b : a);
  }
  template <typename T>
  __device__ T operator()(const DeviceSpan<T>& y, int64_t i, T x) const {
    if constexpr (std::is_integral_v<T>) {
      return Of(y.Load(i), x);
    } else {
      return FromFloat<T>(Of(y.LoadFloat(i), ToFloat(x)));
    }
  }
};

template <typename T, typename Op>
__global__ void UnpackKernel(SliceIndex box, Op op, DeviceSpan<const T> packed,
                             DeviceSpan<T> share) {
  for (int64_t i = GridThread(); i < packed.size(); i += GridThreads()) {
    const int64_t to = box.Global(i);
    share.Store(to, op(share, to, packed.Load(i)));
  }
}

absl::Status Copy(const CudaContext& cuda, const TensorView& from,
                  int64_t from_element, const TensorView& to,
                  int64_t to_element, int64_t count) {
  const int64_t size = SizeInBytes(from.dtype());
  return ToStatus(
      cudaMemcpyAsync(to.as<char>() + to_element * size,
                      from.as<char>() + from_element * size, count * size,
                      cudaMemcpyDeviceToDevice, cuda.stream()),
      "cudaMemcpyAsync");
}

absl::Status PackBox(const KernelContext& context, const TensorSlice& box,
                     int64_t packed) {
  const TensorView& share = context.inputs[0];
  const TensorView& y = context.outputs[0];
  const int64_t count = box.num_elements();
  if (IsContiguous(box)) {
    return Copy(*context.cuda, share, FirstInShare(box), y, packed, count);
  }
  return VisitBits(share.dtype(), [&](auto zero) {
    using T = decltype(zero);
    return Launch(PackKernel<T>, {dim3(context.cuda->BlocksFor(count))},
                  context.cuda->stream(), SliceIndex(box),
                  DeviceSpan<const T>(share),
                  DeviceSpan<T>(y).Part(packed, count));
  });
}

template <typename T, typename Op>
absl::Status UnpackWith(const KernelContext& context, const TensorSlice& box,
                        int64_t packed, const Op& op) {
  const int64_t count = box.num_elements();
  return Launch(UnpackKernel<T, Op>, {dim3(context.cuda->BlocksFor(count))},
                context.cuda->stream(), SliceIndex(box), op,
                DeviceSpan<const T>(context.inputs[0]).Part(packed, count),
                DeviceSpan<T>(context.outputs[0]));
}

absl::Status UnpackBox(const KernelContext& context, const TensorSlice& box,
                       int64_t packed, Combine combine) {
  const TensorView& x = context.inputs[0];
  if (combine == Combine::kAssign) {
    if (IsContiguous(box)) {
      return Copy(*context.cuda, x, packed, context.outputs[0],
                  FirstInShare(box), box.num_elements());
    }
    return VisitBits(x.dtype(), [&](auto zero) {
      return UnpackWith<decltype(zero)>(context, box, packed, Assign());
    });
  }
  return VisitAny(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    return combine == Combine::kSum
               ? UnpackWith<T>(context, box, packed, CombineWith<true>())
               : UnpackWith<T>(context, box, packed, CombineWith<false>());
  });
}

// Calls run(box, elements of the boxes before) for every box.
template <typename Run>
absl::Status ForBoxes(const std::vector<TensorSlice>& boxes, const Run& run) {
  int64_t packed = 0;
  for (const TensorSlice& box : boxes) {
    RETURN_IF_ERROR(run(box, packed));
    packed += box.num_elements();
  }
  return absl::OkStatus();
}

absl::StatusOr<Kernel> CreatePack(const KernelSpec& spec) {
  // Of a scalar, as many copies as there is room for.
  return Kernel([boxes = Boxes(spec.attributes, spec.inputs[0],
                               spec.outputs[0].num_elements())](
                    const KernelContext& context) {
    return ForBoxes(boxes, [&](const TensorSlice& box, int64_t packed) {
      return PackBox(context, box, packed);
    });
  });
}

absl::StatusOr<Kernel> CreateUnpack(const KernelSpec& spec) {
  const int64_t pieces =
      spec.inputs.empty() ? 0 : spec.inputs[0].num_elements();
  return Kernel([boxes = Boxes(spec.attributes, spec.outputs[0], pieces),
                 fill = spec.attributes.String("fill"),
                 combine = CombineFromAttributes(spec.attributes)](
                    const KernelContext& context) -> absl::Status {
    const TensorView& y = context.outputs[0];
    if (fill != "none") {
      RETURN_IF_ERROR(FillConstant(*context.cuda, y,
                                   fill == "zero" ? 0 : Lowest(y.dtype())));
    }
    if (context.inputs.empty()) return absl::OkStatus();
    return ForBoxes(boxes, [&](const TensorSlice& box, int64_t packed) {
      return UnpackBox(context, box, packed, combine);
    });
  });
}

}  // namespace

// Placement has replaced every boxing node before kernels are made.
KernelDef BoxingCudaKernel() { return {}; }
KernelDef PackRegionsCudaKernel() { return {nullptr, CreatePack}; }
KernelDef UnpackRegionsCudaKernel() { return {nullptr, CreateUnpack}; }

}  // namespace facet::ops
