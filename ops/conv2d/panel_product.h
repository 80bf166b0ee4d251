// The inner loop of a matrix product, for kernels whose operands come in small
// pieces that a library would copy again.
#ifndef FACET_OPS_CONV2D_PANEL_PRODUCT_H_
#define FACET_OPS_CONV2D_PANEL_PRODUCT_H_

#include <cstdint>

#include "ops/float8.h"

namespace facet::ops {

// Columns of a panel: two registers.
inline constexpr int64_t kPanel = 16;

// c[r][0 .. 15] = sum over k of a[r * a_row + k * a_step] * b[k][0 .. 15], or
// that added to c. Twelve accumulators for 6 rows: with the two columns of b
// and an element of a they fit in the 16 registers of AVX2.
template <int kRows, bool kAdd>
void PanelRows(const float* a, int64_t a_row, int64_t a_step, const float* b,
               int64_t depth, float* c, int64_t c_row) {
  Float8 sum[kRows][2];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = kAdd ? Load<Float8>(c + r * c_row) : Float8{};
    sum[r][1] = kAdd ? Load<Float8>(c + r * c_row + 8) : Float8{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    const Float8 b0 = Load<Float8>(b + k * kPanel);
    const Float8 b1 = Load<Float8>(b + k * kPanel + 8);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const Float8 element = Broadcast<Float8>(a[r * a_row + k * a_step]);
      sum[r][0] += element * b0;
      sum[r][1] += element * b1;
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    Store(c + r * c_row, sum[r][0]);
    Store(c + r * c_row + 8, sum[r][1]);
  }
}

// The same for any number of rows.
template <bool kAdd>
void PanelProduct(const float* a, int64_t rows, int64_t a_row, int64_t a_step,
                  const float* b, int64_t depth, float* c, int64_t c_row) {
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6) {
    PanelRows<6, kAdd>(a + r * a_row, a_row, a_step, b, depth, c + r * c_row,
                       c_row);
  }
  const auto rest = [&]<int kRows>() {
    PanelRows<kRows, kAdd>(a + r * a_row, a_row, a_step, b, depth,
                           c + r * c_row, c_row);
  };
  switch (rows - r) {
    case 1:
      return rest.template operator()<1>();
    case 2:
      return rest.template operator()<2>();
    case 3:
      return rest.template operator()<3>();
    case 4:
      return rest.template operator()<4>();
    case 5:
      return rest.template operator()<5>();
    default:
      return;
  }
}

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_PANEL_PRODUCT_H_
