// PanelProduct: a matrix product for kernels whose operands come in small
// pieces, often once only, that a library would copy again. On the calling
// thread; the CPU's widest vectors are chosen at run time.
#ifndef FACET_OPS_PANEL_PRODUCT_H_
#define FACET_OPS_PANEL_PRODUCT_H_

#include <cstdint>

namespace facet::ops {

// The columns of b and c are cut into panels of so many.
inline constexpr int64_t kPanel = 16;

inline int64_t PanelsOf(int64_t columns) {
  return (columns + kPanel - 1) / kPanel;
}

struct PanelPrefetch {
  const void* data = nullptr;  // Null: nothing.
  int64_t bytes = 0;
};

// Distances are in floats.
struct PanelProductCall {
  int64_t rows = 0, depth = 0, panels = 0;
  // Element (r, k) is a[r * a_row + k * a_depth].
  const float* a = nullptr;
  int64_t a_row = 0, a_depth = 0;
  // Row k of panel p is b[p * b_panel + k * kPanel ... + kPanel].
  const float* b = nullptr;
  int64_t b_panel = 0;
  // Row r of panel p is c[p * c_panel + r * c_row ... + kPanel]. No part of c
  // may overlap a or b.
  float* c = nullptr;
  int64_t c_row = 0, c_panel = kPanel;
  // Whether the product is added to c or replaces it.
  bool add = false;
  // What the caller will read next: brought into the cache meanwhile.
  PanelPrefetch ahead[2];
};

// c = a * b, or c += a * b. Each element is one sum in the order of k, with
// fused multiply-adds: the same bits on every CPU, however the rows and
// panels are cut into calls.
void PanelProduct(const PanelProductCall& call);

// Row-major `from` [rows, columns] to panels [panel][row][16]; columns of the
// last that are not there are 0.
void PackPanels(const float* from, int64_t stride, int64_t rows,
                int64_t columns, float* to);

// The transpose of row-major `from` [rows, columns] to panels
// [row / 16][column][16]; rows of the last that are not there are 0.
void PackTransposedPanels(const float* from, int64_t stride, int64_t rows,
                          int64_t columns, float* to);

}  // namespace facet::ops

#endif  // FACET_OPS_PANEL_PRODUCT_H_
