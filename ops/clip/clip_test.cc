#include <omp.h>

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

const TensorType kScalar = {DataType::kFloat32, {}};

double RunOnce(const char* op, const Attributes& attributes,
               const std::vector<HostValue>& inputs) {
  auto result =
      RunOp(*FindOp(op), attributes, inputs,
            {HostValue::Whole(kScalar).slice()}, RunOptions(), CpuKernels());
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? (*result)[0].ToDoubles()[0] : std::nan("");
}

HostValue Vector(const Values& values) {
  HostValue value = HostValue::Whole(
      {DataType::kFloat32, {static_cast<int64_t>(values.size())}});
  value.FromDoubles(values);
  return value;
}

HostValue Scalar(double v) {
  HostValue value = HostValue::Whole(kScalar);
  value.FromDoubles({v});
  return value;
}

TEST(SquareNormTest, Values) {
  const Reference reference = [](const Attributes&, const auto&,
                                 const auto& inputs) {
    double sum = 0;
    for (double v : inputs[0]) sum += v * v;
    return std::vector<Values>{{sum}};
  };
  for (const Shape& shape :
       {Shape{7}, Shape{5, 6, 3, 3}, Shape{}, Shape{301, 333}}) {
    OpCase op_case;
    op_case.op = "square_norm";
    op_case.inputs = {{DataType::kFloat32, shape}};
    op_case.tolerance = 1e-6;
    ExpectMatchesReference(op_case, reference);
  }
}

TEST(SquareNormTest, NonFiniteShows) {
  for (double bad : {std::numeric_limits<double>::infinity(),
                     -std::numeric_limits<double>::infinity(), std::nan("")}) {
    for (size_t place : {0, 9, 40000}) {
      Values values(40001, 0.5);
      values[place] = bad;
      EXPECT_FALSE(std::isfinite(RunOnce("square_norm", {}, {Vector(values)})));
    }
  }
}

TEST(SquareNormTest, IndependentOfThreads) {
  const Values values = RandomValues({DataType::kFloat32, {100003}}, {}, 1);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const double one = RunOnce("square_norm", {}, {Vector(values)});
  omp_set_num_threads(3);
  const double three = RunOnce("square_norm", {}, {Vector(values)});
  omp_set_num_threads(threads);
  EXPECT_EQ(one, three);
}

// As torch.nn.utils.clip_grad_norm_.
TEST(ClipFactorTest, ClipsOnlyLongGradients) {
  const Attributes five = {{"max_norm", 5.0}};
  EXPECT_FLOAT_EQ(RunOnce("clip_factor", five, {Scalar(100)}), 5 / (10 + 1e-6));
  EXPECT_EQ(RunOnce("clip_factor", five, {Scalar(16)}), 1);
  EXPECT_EQ(RunOnce("clip_factor", five, {Scalar(0)}), 1);
}

TEST(ClipFactorTest, TakesTheLossScaleOff) {
  const Attributes five = {{"max_norm", 5.0}};
  // Gradients of norm 10 and 4, times 128.
  EXPECT_FLOAT_EQ(
      RunOnce("clip_factor", five, {Scalar(100 * 128 * 128), Scalar(128)}),
      5 / (10 + 1e-6) / 128);
  EXPECT_EQ(RunOnce("clip_factor", five, {Scalar(16 * 128 * 128), Scalar(128)}),
            1.0 / 128);
}

TEST(ClipFactorTest, NotANumberStaysSo) {
  EXPECT_TRUE(std::isnan(
      RunOnce("clip_factor", {{"max_norm", 5.0}}, {Scalar(std::nan(""))})));
}

}  // namespace
}  // namespace facet::ops
