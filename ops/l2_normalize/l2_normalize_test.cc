#include <cmath>

#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

std::vector<Values> Reference(const Attributes& attributes,
                              const std::vector<TensorType>& types,
                              const std::vector<Values>& inputs) {
  const int64_t rows = types[0].shape[0], columns = types[0].shape[1];
  Values y = inputs[0];
  for (int64_t i = 0; i < rows; ++i) {
    double square = 0;
    for (int64_t j = 0; j < columns; ++j) {
      square += y[i * columns + j] * y[i * columns + j];
    }
    const double norm = std::max(std::sqrt(square), attributes.Float("eps"));
    for (int64_t j = 0; j < columns; ++j) y[i * columns + j] /= norm;
  }
  return {y};
}

OpCase Case(int64_t rows, int64_t columns, double eps) {
  OpCase op_case;
  op_case.op = "l2_normalize";
  op_case.attributes = {{"eps", eps}};
  op_case.inputs = {{DataType::kFloat32, {rows, columns}}};
  return op_case;
}

TEST(L2NormalizeTest, Values) {
  ExpectMatchesReference(Case(7, 13, 1e-12), Reference);
  ExpectMatchesReference(Case(65, 512, 1e-12), Reference);
  ExpectMatchesReference(Case(3, 1, 1e-12), Reference);
}

TEST(L2NormalizeTest, Gradient) {
  ExpectGradientMatches(Case(5, 11, 1e-12), Reference);
  ExpectGradientMatches(Case(3, 40, 1e-12), Reference);
}

// Rows shorter than eps are divided by eps, a linear function.
TEST(L2NormalizeTest, GradientWhereEpsTakesOver) {
  ExpectMatchesReference(Case(5, 11, 100), Reference);
  ExpectGradientMatches(Case(5, 11, 100), Reference);
}

TEST(L2NormalizeTest, ARowOfZerosStaysFinite) {
  HostValue x = HostValue::Whole({DataType::kFloat32, {2, 3}});
  x.FromDoubles({0, 0, 0, 3, 0, 4});
  const auto y = RunOp(*FindOp("l2_normalize"), {}, {x}, {x.slice()},
                       RunOptions(), CpuKernels());
  ASSERT_TRUE(y.ok()) << y.status();
  const Values values = (*y)[0].ToDoubles();
  EXPECT_EQ(values[0], 0);
  EXPECT_FLOAT_EQ(values[3], 0.6);
  EXPECT_FLOAT_EQ(values[5], 0.8);
}

}  // namespace
}  // namespace facet::ops
