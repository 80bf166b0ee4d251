#include <cmath>

#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

Values Masked(const Values& x, const Values& rows, double fill) {
  Values y = x;
  for (size_t i = 0; i < y.size(); ++i) {
    if (rows[i % rows.size()] < 0) y[i] = fill;
  }
  return y;
}

OpCase Case(int64_t n, int64_t groups, int64_t capacity) {
  OpCase op_case;
  op_case.op = "mask_columns";
  op_case.attributes = {{"fill", std::string("zero")}};
  op_case.inputs = {{DataType::kFloat32, {n, groups * capacity}},
                    {DataType::kInt32, {groups, capacity}}};
  op_case.domains = {{}, {0, static_cast<double>(capacity), true}};
  return op_case;
}

std::vector<Values> Zeros(const Attributes&, const std::vector<TensorType>&,
                          const std::vector<Values>& inputs) {
  return {Masked(inputs[0], inputs[1], 0)};
}

TEST(MaskColumnsTest, MatchesReference) {
  ExpectMatchesReference(Case(5, 3, 7), Zeros);
  ExpectMatchesReference(Case(33, 1, 2000), Zeros);
}

TEST(MaskColumnsTest, GradientMatches) {
  ExpectGradientMatches(Case(4, 2, 5), Zeros);
}

void ExpectLowestIsMinusInfinity(const KernelLibrary& kernels) {
  const TensorType type = {DataType::kFloat32, {3, 6}};
  HostValue x = HostValue::Whole(type);
  x.FromDoubles(RandomValues(type, {}, 1));
  HostValue rows = HostValue::Whole({DataType::kInt32, {2, 3}});
  rows.FromDoubles({0, 4, -1, -1, -1, -1});
  const auto y = RunOp(*FindOp("mask_columns"), {}, {x, rows}, {x.slice()},
                       RunOptions(), kernels);
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_EQ((*y)[0].ToDoubles(),
            Masked(x.ToDoubles(), rows.ToDoubles(), -INFINITY));
}

TEST(MaskColumnsTest, LowestIsMinusInfinity) {
  ExpectLowestIsMinusInfinity(CpuKernels());
}

TEST(MaskColumnsTest, LowestIsMinusInfinityByCuda) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  ExpectLowestIsMinusInfinity(CudaKernelsOnHost());
}

}  // namespace
}  // namespace facet::ops
