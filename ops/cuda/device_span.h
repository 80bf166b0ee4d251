// DeviceSpan: how a CUDA kernel reaches memory. An argument of a kernel is a
// span of the register it belongs to, const if the kernel only reads it; the
// kernel loads and stores elements. On a GPU that is a plain access; emulated,
// it is checked: that the element is in the span, that what is read was
// written, and, at launch, that what other streams do with the memory is over.
#ifndef FACET_OPS_CUDA_DEVICE_SPAN_H_
#define FACET_OPS_CUDA_DEVICE_SPAN_H_

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "ops/cuda/element.h"
#include "ops/kernel.h"

#ifndef __CUDACC__
#include "ops/cuda/checked_memory.h"
#endif

namespace facet::ops {

// kWidth adjacent elements that move as one access: float x 4, halves x 8 are
// the widest (16 bytes).
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Vector {
  T element[kWidth];
};

// Elements of one 16-byte access.
template <typename T>
inline constexpr int kVectorWidth = static_cast<int>(16 / sizeof(T));

// Not owned. Copied freely; kernels take it by value.
template <typename T>
class DeviceSpan {
 public:
  using Element = std::remove_const_t<T>;

  FACET_HOST_DEVICE DeviceSpan() : data_(nullptr), size_(0) {}
  FACET_HOST_DEVICE DeviceSpan(T* data, int64_t size)
      : data_(data), size_(size) {}
  // All of a register.
  explicit DeviceSpan(const TensorView& view)
      : data_(static_cast<T*>(view.data)),
        size_(view.slice.size_bytes() / static_cast<int64_t>(sizeof(T))) {}
  // To const.
  template <typename U, typename = std::enable_if_t<
                            std::is_same_v<T, const U> && !std::is_const_v<U>>>
  FACET_HOST_DEVICE DeviceSpan(const DeviceSpan<U>& other)  // NOLINT
      : data_(other.data()), size_(other.size()) {}

  FACET_HOST_DEVICE T* data() const { return data_; }
  FACET_HOST_DEVICE int64_t size() const { return size_; }
  FACET_HOST_DEVICE DeviceSpan Part(int64_t begin, int64_t count) const {
    return DeviceSpan(data_ + begin, count);
  }

#ifdef __CUDACC__
  __device__ Element Load(int64_t i) const { return data_[i]; }
  __device__ void Store(int64_t i, Element value) const { data_[i] = value; }
  // Elements [i, i + kWidth); i must be a multiple of kWidth, and data()
  // aligned to the vector (registers are, to 64 bytes).
  template <int kWidth>
  __device__ Vector<Element, kWidth> LoadVector(int64_t i) const {
    return *reinterpret_cast<const Vector<Element, kWidth>*>(data_ + i);
  }
  template <int kWidth>
  __device__ void StoreVector(int64_t i, Vector<Element, kWidth> value) const {
    *reinterpret_cast<Vector<Element, kWidth>*>(data_ + i) = value;
  }
#else
  Element Load(int64_t i) const {
    return LoadChecked<Element>(data_, size_, i);
  }
  void Store(int64_t i, Element value) const {
    StoreChecked<Element>(data_, size_, i, value);
  }
  template <int kWidth>
  Vector<Element, kWidth> LoadVector(int64_t i) const {
    return LoadChecked<Vector<Element, kWidth>>(data_, size_, i);
  }
  template <int kWidth>
  void StoreVector(int64_t i, Vector<Element, kWidth> value) const {
    StoreChecked<Vector<Element, kWidth>>(data_, size_, i, value);
  }
#endif

  // As float, rounded once: for floating elements.
  __device__ float LoadFloat(int64_t i) const { return ToFloat(Load(i)); }
  __device__ void StoreFloat(int64_t i, float value) const {
    Store(i, FromFloat<Element>(value));
  }

 private:
  T* data_;
  int64_t size_;
};

// Several spans as one argument of a kernel.
template <typename T, int kMost>
struct DeviceSpans {
  DeviceSpan<T> span[kMost];
  int count = 0;

  void Add(DeviceSpan<T> next) { span[count++] = next; }
};

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_DEVICE_SPAN_H_
