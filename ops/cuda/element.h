// The element types of tensors as CUDA kernels see them. Kernels compute in
// float; an element is converted when it is loaded and rounded once when it is
// stored.
#ifndef FACET_OPS_CUDA_ELEMENT_H_
#define FACET_OPS_CUDA_ELEMENT_H_

#include <cstdint>
#include <cstring>

#include "glog/logging.h"
#include "ops/graph/data_type.h"
#include "ops/host_device.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
#else
#include <immintrin.h>
#endif

namespace facet::ops {

// The bits of a float16 and of a bfloat16. (half.h has the CPU's types, which
// compute; nvcc need not see Eigen.)
struct Half {
  uint16_t bits;
};
struct BHalf {
  uint16_t bits;
};

FACET_HOST_DEVICE inline float ToFloat(float x) { return x; }

FACET_HOST_DEVICE inline float ToFloat(Half x) {
#ifdef __CUDACC__
  return __half2float(__half(__half_raw{x.bits}));
#else
  return _cvtsh_ss(x.bits);
#endif
}

FACET_HOST_DEVICE inline float ToFloat(BHalf x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// To nearest even; what is not a number stays so.
template <typename T>
FACET_HOST_DEVICE inline T FromFloat(float value);

template <>
FACET_HOST_DEVICE inline float FromFloat<float>(float value) {
  return value;
}

template <>
FACET_HOST_DEVICE inline Half FromFloat<Half>(float value) {
#ifdef __CUDACC__
  return {static_cast<__half_raw>(__float2half_rn(value)).x};
#else
  return {_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)};
#endif
}

template <>
FACET_HOST_DEVICE inline BHalf FromFloat<BHalf>(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  // Rounding could carry a NaN into an infinity.
  if (value != value) return {0x7fc0};
  // Half a unit in the last place, less one if the kept part is even.
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// Calls f(T{}) with the type of a floating dtype and returns its result:
//   VisitElement(dtype, [&](auto zero) { return Fill<decltype(zero)>(...); });
template <typename F>
auto VisitElement(DataType dtype, F&& f) {
  switch (dtype) {
    case DataType::kFloat16:
      return f(Half{});
    case DataType::kBFloat16:
      return f(BHalf{});
    default:
      CHECK(dtype == DataType::kFloat32)
          << std::string(DataTypeName(dtype)) << " is not floating";
      return f(float{});
  }
}

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_ELEMENT_H_
