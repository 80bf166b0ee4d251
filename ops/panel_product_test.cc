#include "ops/panel_product.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "ops/testing/instruction_sets.h"

namespace facet::ops {
namespace {

// Values with few bits, whose products and sums are exact in any order.
std::vector<float> SmallIntegers(int64_t n, int64_t seed) {
  std::vector<float> values(n);
  for (int64_t i = 0; i < n; ++i) {
    values[i] = static_cast<float>((i * 7919 + seed * 104729) % 17 - 8);
  }
  return values;
}

std::vector<float> Fractions(int64_t n, int64_t seed) {
  std::vector<float> values(n);
  for (int64_t i = 0; i < n; ++i) {
    values[i] = std::sin(static_cast<float>(i * 13 + seed));
  }
  return values;
}

struct Case {
  int64_t rows, depth, columns;
};

// Every number of rows of a tile and of what is left over, odd and even
// numbers of panels, more than one block of the depth.
std::vector<Case> Cases() {
  std::vector<Case> cases = {{30, 600, 80}, {7, 256, 16}, {13, 257, 48},
                             {3, 1, 5},     {1, 0, 16},   {0, 4, 16}};
  for (int64_t rows = 1; rows <= 25; ++rows) cases.push_back({rows, 9, 40});
  return cases;
}

// c = start + a * b by panels; a [depth, rows] if transposed.
std::vector<float> Product(const Case& c, const std::vector<float>& a,
                           bool transposed, const std::vector<float>& b,
                           const std::vector<float>* start) {
  const int64_t panels = PanelsOf(c.columns);
  std::vector<float> packed(panels * kPanel * c.depth);
  PackPanels(b.data(), c.columns, c.depth, c.columns, packed.data());
  std::vector<float> padded(c.rows * panels * kPanel, std::nanf(""));
  if (start != nullptr) {
    for (int64_t r = 0; r < c.rows; ++r) {
      std::copy_n(start->data() + r * c.columns, c.columns,
                  padded.data() + r * panels * kPanel);
    }
  }
  PanelProductCall call;
  call.rows = c.rows;
  call.depth = c.depth;
  call.panels = panels;
  call.a = a.data();
  call.a_row = transposed ? 1 : c.depth;
  call.a_depth = transposed ? c.rows : 1;
  call.b = packed.data();
  call.b_panel = c.depth * kPanel;
  call.c = padded.data();
  call.c_row = panels * kPanel;
  call.add = start != nullptr;
  call.ahead[0] = {a.data(), static_cast<int64_t>(a.size() * sizeof(float))};
  PanelProduct(call);
  std::vector<float> result(c.rows * c.columns);
  for (int64_t r = 0; r < c.rows; ++r) {
    std::copy_n(padded.data() + r * panels * kPanel, c.columns,
                result.data() + r * c.columns);
  }
  return result;
}

std::vector<float> Reference(const Case& c, const std::vector<float>& a,
                             const std::vector<float>& b,
                             const std::vector<float>* start) {
  std::vector<float> result(c.rows * c.columns);
  for (int64_t r = 0; r < c.rows; ++r) {
    for (int64_t j = 0; j < c.columns; ++j) {
      double sum = start == nullptr ? 0 : (*start)[r * c.columns + j];
      for (int64_t k = 0; k < c.depth; ++k) {
        sum += static_cast<double>(a[r * c.depth + k]) * b[k * c.columns + j];
      }
      result[r * c.columns + j] = static_cast<float>(sum);
    }
  }
  return result;
}

std::vector<float> Transposed(const std::vector<float>& a, int64_t rows,
                              int64_t columns) {
  std::vector<float> result(a.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < columns; ++j) {
      result[j * rows + r] = a[r * columns + j];
    }
  }
  return result;
}

TEST(PanelProductTest, IsTheProduct) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(testing::Message()
                 << c.rows << " x " << c.depth << " x " << c.columns);
    const std::vector<float> a = SmallIntegers(c.rows * c.depth, 1);
    const std::vector<float> b = SmallIntegers(c.depth * c.columns, 2);
    const std::vector<float> start = SmallIntegers(c.rows * c.columns, 3);
    EXPECT_EQ(Product(c, a, false, b, nullptr), Reference(c, a, b, nullptr));
    EXPECT_EQ(Product(c, a, false, b, &start), Reference(c, a, b, &start));
    EXPECT_EQ(Product(c, Transposed(a, c.rows, c.depth), true, b, &start),
              Reference(c, a, b, &start));
  }
}

TEST(PanelProductTest, TheSameBitsOnEveryInstructionSet) {
  std::vector<std::vector<float>> first;
  ForEachInstructionSet([&](const char* name) {
    std::vector<std::vector<float>> results;
    for (const Case& c : Cases()) {
      results.push_back(Product(c, Fractions(c.rows * c.depth, 1), false,
                                Fractions(c.depth * c.columns, 2), nullptr));
    }
    if (first.empty()) first = results;
    EXPECT_EQ(results, first) << name;
  });
  EXPECT_FALSE(first.empty());
}

TEST(PackPanelsTest, PutsEveryElementInItsPlace) {
  constexpr int64_t kRows = 5, kColumns = 37, kStride = 40;
  const std::vector<float> from = Fractions(kRows * kStride, 0);
  std::vector<float> panels(PanelsOf(kColumns) * kRows * kPanel, -2);
  PackPanels(from.data(), kStride, kRows, kColumns, panels.data());
  std::vector<float> transposed(PanelsOf(kRows) * kColumns * kPanel, -2);
  PackTransposedPanels(from.data(), kStride, kRows, kColumns,
                       transposed.data());
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t j = 0; j < PanelsOf(kColumns) * kPanel; ++j) {
      EXPECT_EQ(panels[(j / kPanel * kRows + r) * kPanel + j % kPanel],
                j < kColumns ? from[r * kStride + j] : 0);
    }
  }
  for (int64_t j = 0; j < kColumns; ++j) {
    for (int64_t r = 0; r < kPanel; ++r) {
      EXPECT_EQ(transposed[j * kPanel + r],
                r < kRows ? from[r * kStride + j] : 0);
    }
  }
}

}  // namespace
}  // namespace facet::ops
