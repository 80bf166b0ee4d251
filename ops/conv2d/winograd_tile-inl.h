// Winograd's minimal filtering F(4x4, 3x3): the transforms of one tile. With
// the input tile d (6x6), the kernel g (3x3) and the result y (4x4),
//   y = A^T [(G g G^T) * (B^T d B)] A        (* by element, 36 products)
// instead of 144 products (Lavin and Gray, "Fast Algorithms for Convolutional
// Neural Networks", 2016; points 0, 1, -1, 2, -2, infinity). It is linear in g
// and in d, so the gradient of g is
//   dg = G^T [(A dy A^T) * (B^T d B)] G,
// and that of d is the same convolution with turned kernels.
//
// V is a vector of any width. Compiled with each instruction set, as Highway's
// own headers are: they split a vector that is wider than their own registers
// before they inline, too early for one that has them.
#if defined(FACET_OPS_CONV2D_WINOGRAD_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FACET_OPS_CONV2D_WINOGRAD_TILE_INL_H_
#undef FACET_OPS_CONV2D_WINOGRAD_TILE_INL_H_
#else
#define FACET_OPS_CONV2D_WINOGRAD_TILE_INL_H_
#endif

#include "hwy/highway.h"
#include "ops/conv2d/winograd_tiling.h"

HWY_BEFORE_NAMESPACE();
namespace facet::ops::winograd {
namespace HWY_NAMESPACE {

// Each multiplies a matrix by a column, element type V.
struct InputTransform {  // B^T
  static constexpr int kIn = kTile, kOut = kTile;
  template <typename V>
  static HWY_INLINE void Apply(const V (&d)[6], V (&t)[6]) {
    const V even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1];
    const V even2 = d[4] - d[2], odd2 = 2 * (d[3] - d[1]);
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = 4 * d[1] - 5 * d[3] + d[5];
  }
};

struct KernelTransform {  // G
  static constexpr int kIn = kKernel, kOut = kTile;
  template <typename V>
  static HWY_INLINE void Apply(const V (&g)[3], V (&t)[6]) {
    const V even = (g[0] + g[2]) * (-1.0f / 6), odd = g[1] * (1.0f / 6);
    const V even2 = g[0] * (1.0f / 24) + g[2] * (1.0f / 6);
    const V odd2 = g[1] * (1.0f / 12);
    t[0] = g[0] * 0.25f;
    t[1] = even - odd;
    t[2] = even + odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = g[2];
  }
};

struct ResultTransform {  // A^T
  static constexpr int kIn = kTile, kOut = kResult;
  template <typename V>
  static HWY_INLINE void Apply(const V (&m)[6], V (&y)[4]) {
    const V p = m[1] + m[2], q = m[1] - m[2];
    const V r = m[3] + m[4], s = m[3] - m[4];
    y[0] = m[0] + p + r;
    y[1] = q + 2 * s;
    y[2] = p + 4 * r;
    y[3] = q + 8 * s + m[5];
  }
};

struct ResultGradientTransform {  // A
  static constexpr int kIn = kResult, kOut = kTile;
  template <typename V>
  static HWY_INLINE void Apply(const V (&y)[4], V (&t)[6]) {
    const V even = y[0] + y[2], odd = y[1] + y[3];
    const V even2 = y[0] + 4 * y[2], odd2 = 2 * y[1] + 8 * y[3];
    t[0] = y[0];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = y[3];
  }
};

struct KernelGradientTransform {  // G^T
  static constexpr int kIn = kTile, kOut = kKernel;
  template <typename V>
  static HWY_INLINE void Apply(const V (&m)[6], V (&g)[3]) {
    const V p = (m[1] + m[2]) * (1.0f / 6), q = (m[2] - m[1]) * (1.0f / 6);
    const V r = m[3] + m[4], s = m[3] - m[4];
    g[0] = m[0] * 0.25f - p + r * (1.0f / 24);
    g[1] = q + s * (1.0f / 12);
    g[2] = r * (1.0f / 6) - p + m[5];
  }
};

// matrix x matrix^T on both sides: rows first, then columns. Inlined: the
// caller's elements stay in registers, as far as there are any.
template <typename Transform, typename V>
[[gnu::always_inline]] inline void Apply2d(
    const V (&in)[Transform::kIn][Transform::kIn],
    V (&out)[Transform::kOut][Transform::kOut]) {
  V half[Transform::kIn][Transform::kOut];
#pragma GCC unroll 6
  for (int i = 0; i < Transform::kIn; ++i) Transform::Apply(in[i], half[i]);
#pragma GCC unroll 6
  for (int j = 0; j < Transform::kOut; ++j) {
    V column[Transform::kIn], result[Transform::kOut];
#pragma GCC unroll 6
    for (int i = 0; i < Transform::kIn; ++i) column[i] = half[i][j];
    Transform::Apply(column, result);
#pragma GCC unroll 6
    for (int i = 0; i < Transform::kOut; ++i) out[i][j] = result[i];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace facet::ops::winograd
HWY_AFTER_NAMESPACE();

#endif  // Per instruction set.
