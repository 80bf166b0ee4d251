#include <cmath>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/half.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

std::vector<Values> Identity(const Attributes&, const std::vector<TensorType>&,
                             const std::vector<Values>& inputs) {
  return inputs;
}

HostValue Cast(const HostValue& x, DataType dtype) {
  TensorSlice slice = x.slice();
  slice.dtype = dtype;
  return RunOp(*FindOp("cast"), {{"dtype", std::string(DataTypeName(dtype))}},
               {x}, {slice}, {}, CpuKernels())
      .value()[0];
}

TEST(CastTest, MatchesReference) {
  for (const char* dtype : {"float32", "float16", "bfloat16"}) {
    for (const Shape& shape : {Shape{5, 7}, Shape{2, 16, 3, 3}}) {
      OpCase op_case;
      op_case.op = "cast";
      op_case.attributes = {{"dtype", std::string(dtype)}};
      op_case.inputs = {{DataType::kFloat32, shape}};
      ExpectMatchesReference(op_case, Identity);
    }
  }
}

TEST(CastTest, GradientHasTheTypeOfTheInput) {
  OpCase op_case;
  op_case.op = "cast";
  op_case.attributes = {{"dtype", std::string("bfloat16")}};
  op_case.inputs = {{DataType::kFloat32, {4, 5}}};
  ExpectGradientMatches(op_case, Identity, {}, 0x1p-8);
}

TEST(CastTest, RoundsToNearestEven) {
  // The distance of neighbours at 1 is 2^-10 in float16 and 2^-7 in bfloat16.
  for (const auto& [dtype, unit] : {std::pair(DataType::kFloat16, 0x1p-10),
                                    std::pair(DataType::kBFloat16, 0x1p-7)}) {
    // Nine, so that the vector loop and the rest are both used.
    HostValue x = HostValue::Whole({DataType::kFloat32, {9}});
    const std::vector<double> units = {0,    0.5,  1,     1.5, 2.5,
                                       0.49, 0.51, -0.25, 1.5};
    std::vector<double> values, want;
    const std::vector<double> rounded = {0, 0, 1, 2, 2, 0, 1, 0, 2};
    for (size_t i = 0; i < units.size(); ++i) {
      values.push_back(1 + units[i] * unit);
      want.push_back(1 + rounded[i] * unit);
    }
    x.FromDoubles(values);
    // Below 1 the neighbours are half as far apart: -0.25 is a tie there.
    EXPECT_EQ(Cast(x, dtype).ToDoubles(), want)
        << std::string(DataTypeName(dtype));
  }
}

TEST(CastTest, EveryHalfSurvivesTheWayToFloat32AndBack) {
  for (DataType dtype : {DataType::kFloat16, DataType::kBFloat16}) {
    HostValue x = HostValue::Whole({dtype, {65536}});
    for (int i = 0; i < 65536; ++i) {
      x.as<uint16_t>()[i] = static_cast<uint16_t>(i);
    }
    const HostValue wide = Cast(x, DataType::kFloat32);
    const HostValue back = Cast(wide, dtype);
    for (int i = 0; i < 65536; ++i) {
      if (std::isnan(wide.as<float>()[i])) {
        const HostValue& nan = back;
        const float value = dtype == DataType::kFloat16
                                ? static_cast<float>(nan.as<Float16>()[i])
                                : static_cast<float>(nan.as<BFloat16>()[i]);
        EXPECT_TRUE(std::isnan(value)) << i;
      } else {
        ASSERT_EQ(back.as<uint16_t>()[i], i);
      }
    }
  }
}

TEST(CastTest, OverflowAndNaN) {
  HostValue x = HostValue::Whole({DataType::kFloat32, {10}});
  const double inf = std::numeric_limits<double>::infinity();
  x.FromDoubles({70000, -70000, 65504, inf, -inf, NAN, 65519, 1e-8, NAN, 7e4});
  const std::vector<double> y = Cast(x, DataType::kFloat16).ToDoubles();
  EXPECT_THAT(std::vector<double>(y.begin(), y.begin() + 5),
              ::testing::ElementsAre(inf, -inf, 65504, inf, -inf));
  EXPECT_TRUE(std::isnan(y[5]));
  EXPECT_EQ(y[6], 65504);
  EXPECT_EQ(y[7], 0);
  EXPECT_TRUE(std::isnan(y[8]));
  EXPECT_EQ(y[9], inf);
}

TEST(CastTest, RefusesIntegers) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId x =
      builder.Add1("fill", "x", {}, {{"shape", std::vector<int64_t>{2}}});
  EXPECT_THAT(
      std::string(
          builder.Add("cast", "y", {x}, {{"dtype", std::string("int32")}})
              .status()
              .message()),
      ::testing::HasSubstr("cast from float32[2] to int32"));
}

}  // namespace
}  // namespace facet::ops
