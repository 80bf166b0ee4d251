#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

HostValue Scalar(double v) {
  HostValue value = HostValue::Whole({DataType::kFloat32, {}});
  value.FromDoubles({v});
  return value;
}

double Overflow(double square_norm) {
  auto skip = RunOp(*FindOp("overflow"), {}, {Scalar(square_norm)},
                    {Scalar(0).slice()}, RunOptions(), CpuKernels());
  EXPECT_TRUE(skip.ok()) << skip.status();
  return (*skip)[0].ToDoubles()[0];
}

TEST(OverflowTest, FindsWhatIsNotFinite) {
  EXPECT_EQ(Overflow(3e38), 0);
  EXPECT_EQ(Overflow(0), 0);
  EXPECT_EQ(Overflow(std::numeric_limits<double>::infinity()), 1);
  EXPECT_EQ(Overflow(std::nan("")), 1);
}

class LossScale : public testing::Test {
 protected:
  void Update(bool skip) {
    const auto status =
        RunOp(*FindOp("loss_scale_update"), {{"growth_interval", int64_t{3}}},
              {scale_, good_steps_, Scalar(skip)}, {}, RunOptions(),
              CpuKernels())
            .status();
    ASSERT_TRUE(status.ok()) << status;
  }
  double scale() const { return scale_.ToDoubles()[0]; }
  double good_steps() const { return good_steps_.ToDoubles()[0]; }

  HostValue scale_ = Scalar(1024);
  HostValue good_steps_ = Scalar(0);
};

TEST_F(LossScale, DoublesAfterGoodStepsInARow) {
  Update(false);
  Update(false);
  EXPECT_EQ(scale(), 1024);
  EXPECT_EQ(good_steps(), 2);
  Update(false);
  EXPECT_EQ(scale(), 2048);
  EXPECT_EQ(good_steps(), 0);
}

TEST_F(LossScale, HalvesAndCountsAgainAfterAnOverflow) {
  Update(false);
  Update(false);
  Update(true);
  EXPECT_EQ(scale(), 512);
  EXPECT_EQ(good_steps(), 0);
  Update(false);
  EXPECT_EQ(scale(), 512);
  EXPECT_EQ(good_steps(), 1);
}

TEST_F(LossScale, StaysWhereItCanComeBackFrom) {
  scale_ = Scalar(0x1p127);
  good_steps_ = Scalar(2);
  Update(false);
  EXPECT_EQ(scale(), 0x1p127);
  scale_ = Scalar(0x1p-126);
  Update(true);
  EXPECT_EQ(scale(), 0x1p-126);
}

TEST(LossScaleUpdateTest, RefusesAnIntervalOfZero) {
  const std::vector<TensorType> inputs(3, {DataType::kFloat32, {}});
  const Attributes attributes = {{"growth_interval", int64_t{0}}};
  std::vector<TensorType> outputs;
  EXPECT_EQ(FindOp("loss_scale_update")
                ->infer({attributes, inputs, {}}, &outputs)
                .message(),
            "attribute \"growth_interval\" is 0; it must be in [1, 16777216]");
}

}  // namespace
}  // namespace facet::ops
