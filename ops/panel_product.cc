#include "ops/panel_product.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

// Highway compiles what is between HWY_BEFORE_NAMESPACE and
// HWY_AFTER_NAMESPACE once per instruction set, by including this file again.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/panel_product.cc"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace facet::ops {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// A vector has 8 (AVX2) or 16 lanes.
using Floats = hn::CappedTag<float, kPanel>;
using Vector = hn::Vec<Floats>;
constexpr int64_t kLanes = HWY_MIN(kPanel, HWY_LANES(float));
constexpr int64_t kVectorsPerPanel = kPanel / kLanes;

// Two vectors of columns by so many rows are summed in registers: with the two
// of b and an element of a, AVX2's 16 registers hold 6 rows, AVX-512's 32 more
// than 12.
constexpr int64_t kColumnVectors = 2;
constexpr int64_t kMostRows = kLanes == 16 ? 12 : 6;
constexpr int64_t kPanelsAtOnce =
    std::max<int64_t>(1, kColumnVectors / kVectorsPerPanel);

// So deep a part of b's panels stays in the first cache for all rows.
constexpr int64_t kMostDepth = 256;

// Where vector v of some panels is.
constexpr int64_t VectorOffset(int64_t v, int64_t panel_distance) {
  return v / kVectorsPerPanel * panel_distance + v % kVectorsPerPanel * kLanes;
}

// Prefetches, spread over the whole product: many at once would stop it until
// memory has taken them. One step is taken with each column of a tile of a.
struct Ahead {
  const char* at = nullptr;
  int64_t step_bytes = 0;

  Ahead(const PanelPrefetch& prefetch, const PanelProductCall& call) {
    const int64_t tiles = (call.rows + kMostRows - 1) / kMostRows;
    const int64_t steps = tiles * call.depth *
                          ((call.panels + kPanelsAtOnce - 1) / kPanelsAtOnce);
    at = static_cast<const char*>(prefetch.data);
    step_bytes = prefetch.bytes / std::max<int64_t>(1, steps);
    if (at == nullptr) at = reinterpret_cast<const char*>(call.b);
  }
  HWY_INLINE void Step() {
    _mm_prefetch(at, _MM_HINT_T1);
    at += step_bytes;
  }
};

struct AheadPair {
  Ahead first, second;
};

template <int kRows, int kVectors>
HWY_INLINE void Tile(const PanelProductCall& call, int64_t depth,
                     const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
                     float* HWY_RESTRICT c, bool add, AheadPair* ahead_pair) {
  AheadPair ahead = *ahead_pair;
  const Floats floats;
  const int64_t a_row = call.a_row, a_depth = call.a_depth;
  Vector sum[kRows][kVectors];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const float* at = c + r * call.c_row + VectorOffset(v, call.c_panel);
      sum[r][v] = add ? hn::LoadU(floats, at) : hn::Zero(floats);
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    ahead.first.Step();
    ahead.second.Step();
    Vector column[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      column[v] =
          hn::LoadU(floats, b + k * kPanel + VectorOffset(v, call.b_panel));
    }
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const Vector element = hn::Set(floats, a[r * a_row + k * a_depth]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        sum[r][v] = hn::MulAdd(element, column[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(sum[r][v], floats,
                 c + r * call.c_row + VectorOffset(v, call.c_panel));
    }
  }
  *ahead_pair = ahead;
}

// Tile<rows, kVectors> for rows that are not known before.
template <int kVectors, int kRows = kMostRows>
HWY_INLINE void TileOfRows(int64_t rows, const PanelProductCall& call,
                           int64_t depth, const float* a, const float* b,
                           float* c, bool add, AheadPair* ahead) {
  if constexpr (kRows > 1) {
    if (rows < kRows) {
      return TileOfRows<kVectors, kRows - 1>(rows, call, depth, a, b, c, add,
                                             ahead);
    }
  }
  Tile<kRows, kVectors>(call, depth, a, b, c, add, ahead);
}

// All rows of a few panels. The rows are shared out evenly: tiles of few rows
// would wait for their sums.
template <int kVectors>
void Rows(const PanelProductCall& call, int64_t depth, const float* a,
          const float* b, float* c, bool add, AheadPair* ahead) {
  const int64_t tiles = (call.rows + kMostRows - 1) / kMostRows;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t begin = call.rows * t / tiles;
    const int64_t end = call.rows * (t + 1) / tiles;
    TileOfRows<kVectors>(end - begin, call, depth, a + begin * call.a_row, b,
                         c + begin * call.c_row, add, ahead);
  }
}

void PanelProductImpl(const PanelProductCall& call) {
  AheadPair ahead = {{call.ahead[0], call}, {call.ahead[1], call}};
  int64_t k = 0;
  do {
    const int64_t depth = std::min(call.depth - k, kMostDepth);
    const float* a = call.a + k * call.a_depth;
    const bool add = call.add || k > 0;
    int64_t p = 0;
    for (; p + kPanelsAtOnce <= call.panels; p += kPanelsAtOnce) {
      Rows<kColumnVectors>(call, depth, a,
                           call.b + p * call.b_panel + k * kPanel,
                           call.c + p * call.c_panel, add, &ahead);
    }
    for (; p < call.panels; ++p) {
      Rows<kVectorsPerPanel>(call, depth, a,
                             call.b + p * call.b_panel + k * kPanel,
                             call.c + p * call.c_panel, add, &ahead);
    }
    k += depth;
  } while (k < call.depth);
}

}  // namespace HWY_NAMESPACE
}  // namespace facet::ops
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace facet::ops {

HWY_EXPORT(PanelProductImpl);

void PanelProduct(const PanelProductCall& call) {
  HWY_DYNAMIC_DISPATCH(PanelProductImpl)(call);
}

void PackPanels(const float* from, int64_t stride, int64_t rows,
                int64_t columns, float* to) {
  for (int64_t first = 0; first < columns; first += kPanel) {
    const int64_t width = std::min(kPanel, columns - first);
    for (int64_t r = 0; r < rows; ++r, to += kPanel) {
      const float* row = from + r * stride + first;
      if (width == kPanel) {
        std::memcpy(to, row, kPanel * sizeof(float));
      } else {
        std::fill(std::copy_n(row, width, to), to + kPanel, 0.0f);
      }
    }
  }
}

void PackTransposedPanels(const float* from, int64_t stride, int64_t rows,
                          int64_t columns, float* to) {
  for (int64_t first = 0; first < rows; first += kPanel) {
    const int64_t width = std::min(kPanel, rows - first);
    for (int64_t column = 0; column < columns; ++column, to += kPanel) {
      for (int64_t l = 0; l < kPanel; ++l) {
        to[l] = l < width ? from[(first + l) * stride + column] : 0.0f;
      }
    }
  }
}

}  // namespace facet::ops
#endif  // HWY_ONCE
