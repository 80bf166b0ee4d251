#include <algorithm>
#include <cmath>
#include <limits>

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
  const double scale = attributes.Float("scale");
  Values y = inputs[0];
  for (double& value : y) value = std::clamp(value, -1.0, 1.0);
  for (int64_t i = 0; i < rows; ++i) {
    double& target = y[i * columns + static_cast<int64_t>(inputs[1][i])];
    target = std::cos(attributes.Float("m1") * std::acos(target) +
                      attributes.Float("m2")) -
             attributes.Float("m3");
  }
  for (double& value : y) value *= scale;
  return {y};
}

OpCase Case(int64_t rows, int64_t columns, double m1, double m2, double m3,
            const char* gradient) {
  OpCase op_case;
  op_case.op = "combined_margin";
  op_case.attributes = {{"m1", m1},
                        {"m2", m2},
                        {"m3", m3},
                        {"scale", 64.0},
                        {"gradient", std::string(gradient)}};
  op_case.inputs = {{DataType::kFloat32, {rows, columns}},
                    {DataType::kInt32, {rows}}};
  op_case.domains = {{-1.2, 1.2}, {0, static_cast<double>(columns)}};
  return op_case;
}

TEST(CombinedMarginTest, Values) {
  ExpectMatchesReference(Case(7, 13, 1, 0.5, 0, "exact"), Reference);
  ExpectMatchesReference(Case(7, 13, 1, 0, 0.4, "as_arcface_torch"), Reference);
  ExpectMatchesReference(Case(16, 20000, 1.3, 0.2, 0.1, "exact"), Reference);
}

TEST(CombinedMarginTest, ExactGradient) {
  OpCase op_case = Case(6, 11, 1, 0.5, 0, "exact");
  ExpectGradientMatches(op_case, Reference, {0});
  ExpectGradientMatches(Case(6, 11, 1.3, 0.2, 0.1, "exact"), Reference, {0});
}

// Without an angular margin the two gradients are the same.
TEST(CombinedMarginTest, CosFaceGradient) {
  ExpectGradientMatches(Case(6, 11, 1, 0, 0.4, "as_arcface_torch"), Reference,
                        {0});
}

TensorSlice Columns(int64_t rows, int64_t columns, int64_t offset,
                    int64_t all) {
  TensorSlice slice;
  slice.shape = {rows, columns};
  slice.global_shape = {rows, all};
  slice.offset = {0, offset};
  return slice;
}

HostValue Filled(const TensorSlice& slice, const Values& values) {
  HostValue value(slice);
  value.FromDoubles(values);
  return value;
}

// Classes 10 to 13 of 20 are here, with the targets of rows 0 and 2.
class PartOfTheClasses : public testing::Test {
 protected:
  PartOfTheClasses()
      : cos_(Filled(Columns(3, 4, 10, 20), {0.5, -0.25, 1.5, -1.5, 0, 0.1, 0.2,
                                            0.3, 0.4, 0.3, 0.2, -2})),
        labels_(HostValue::Whole({DataType::kInt32, {3}})) {
    labels_.FromDoubles({10, 3, 13});
  }
  absl::StatusOr<std::vector<HostValue>> Apply(const char* op,
                                               std::vector<HostValue> inputs) {
    return RunOp(*FindOp(op), {}, inputs, {cos_.slice()}, RunOptions(),
                 CpuKernels());
  }
  HostValue cos_, labels_;
};

TEST_F(PartOfTheClasses, OnlyTargetsThatAreHereGetAMargin) {
  const auto y = Apply("combined_margin", {cos_, labels_});
  ASSERT_TRUE(y.ok()) << y.status();
  const Values got = (*y)[0].ToDoubles();
  const Values want = {64 * std::cos(std::acos(0.5) + 0.5),
                       -16,
                       64,
                       -64,
                       0,
                       6.4,
                       12.8,
                       19.2,
                       25.6,
                       19.2,
                       12.8,
                       64 * std::cos(std::acos(-1.0) + 0.5)};
  for (int i = 0; i < 12; ++i) EXPECT_NEAR(got[i], want[i], 1e-5) << i;
}

// The gradient passes the margin as if there were none.
TEST_F(PartOfTheClasses, GradientAsInArcfaceTorch) {
  const HostValue dlogits =
      Filled(cos_.slice(), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const auto y = Apply("combined_margin_grad", {dlogits, cos_, labels_});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_EQ((*y)[0].ToDoubles(),
            (Values{64, 128, 0, 0, 320, 384, 448, 512, 576, 640, 704, 0}));
}

TEST_F(PartOfTheClasses, InPlace) {
  RunOptions options;
  options.in_place = {{0, 0}};
  const auto apart = Apply("combined_margin", {cos_, labels_});
  ASSERT_TRUE(apart.ok()) << apart.status();
  const Values want = (*apart)[0].ToDoubles();
  const auto y = RunOp(*FindOp("combined_margin"), {}, {cos_, labels_},
                       {cos_.slice()}, options, CpuKernels());
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_EQ((*y)[0].ToDoubles(), want);
}

TEST_F(PartOfTheClasses, RefusesLabelsThatAreNoClass) {
  labels_.FromDoubles({10, 3, 20});
  const auto y = Apply("combined_margin", {cos_, labels_});
  EXPECT_EQ(y.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(y.status().message())
                .find("label 20 of row 2 is not in [0, 20)"),
            std::string::npos)
      << y.status();
  labels_.FromDoubles({10, -1, 13});
  EXPECT_FALSE(Apply("combined_margin_grad", {cos_, cos_, labels_}).ok());
}

// -infinity is a class that is masked out: it stays so and has no gradient.
TEST_F(PartOfTheClasses, MaskedClassesStayMasked) {
  cos_.as<float>()[1] = -std::numeric_limits<float>::infinity();
  const auto logits = Apply("combined_margin", {cos_, labels_});
  ASSERT_TRUE(logits.ok()) << logits.status();
  const Values got = (*logits)[0].ToDoubles();
  EXPECT_EQ(got[1], -std::numeric_limits<double>::infinity());
  EXPECT_NEAR(got[3], -64, 1e-5);  // Merely below -1.
  const HostValue ones = Filled(cos_.slice(), Values(12, 1));
  const auto dcos = Apply("combined_margin_grad", {ones, cos_, labels_});
  ASSERT_TRUE(dcos.ok()) << dcos.status();
  EXPECT_EQ((*dcos)[0].ToDoubles()[1], 0);
}

// At theta = 0 the true derivative is infinite; ours stays finite.
TEST(CombinedMarginGradTest, ExactAtTheEnds) {
  HostValue cos = HostValue::Whole({DataType::kFloat32, {2, 1}});
  cos.FromDoubles({1, -1});
  HostValue ones = cos.Copy();
  ones.FromDoubles({1, 1});
  HostValue labels = HostValue::Whole({DataType::kInt32, {2}});
  labels.FromDoubles({0, 0});
  const auto y = RunOp(
      *FindOp("combined_margin_grad"), {{"gradient", std::string("exact")}},
      {ones, cos, labels}, {cos.slice()}, RunOptions(), CpuKernels());
  ASSERT_TRUE(y.ok()) << y.status();
  const Values got = (*y)[0].ToDoubles();
  EXPECT_NEAR(got[0], 64 * std::sin(0.5) * std::sqrt(0x1p23), 200);
  EXPECT_TRUE(std::isfinite(got[1]));
}

TEST(CombinedMarginTest, KeepsNotANumber) {
  HostValue cos = HostValue::Whole({DataType::kFloat32, {1, 9}});
  cos.FromDoubles(Values(9, std::nan("")));
  HostValue labels = HostValue::Whole({DataType::kInt32, {1}});
  labels.FromDoubles({4});
  const auto y = RunOp(*FindOp("combined_margin"), {}, {cos, labels},
                       {cos.slice()}, RunOptions(), CpuKernels());
  ASSERT_TRUE(y.ok()) << y.status();
  for (double value : (*y)[0].ToDoubles()) EXPECT_TRUE(std::isnan(value));
}

}  // namespace
}  // namespace facet::ops
