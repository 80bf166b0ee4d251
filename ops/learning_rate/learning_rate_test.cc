#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

Values Rates(const Attributes& attributes, int64_t steps) {
  Values rates;
  for (int64_t step = 0; step < steps; ++step) {
    RunOptions options;
    options.step = step;
    auto rate = RunOp(*FindOp("learning_rate"), attributes, {},
                      {HostValue::Whole({DataType::kFloat32, {}}).slice()},
                      options, CpuKernels());
    EXPECT_TRUE(rate.ok()) << rate.status();
    rates.push_back((*rate)[0].ToDoubles()[0]);
  }
  return rates;
}

TEST(LearningRateTest, WarmUpThenLinearDecay) {
  EXPECT_EQ(Rates({{"base", 1.0},
                   {"warmup_steps", int64_t{2}},
                   {"total_steps", int64_t{6}}},
                  8),
            (Values{0.5, 1, 1, 0.75, 0.5, 0.25, 0, 0}));
}

// lr_scheduler.py of arcface_torch, run with these numbers.
TEST(LearningRateTest, WarmUpOfThePeer) {
  EXPECT_EQ(Rates({{"base", 1.0},
                   {"warmup_steps", int64_t{4}},
                   {"warmup_style", std::string("as_arcface_torch")},
                   {"total_steps", int64_t{8}}},
                  9),
            (Values{1, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0}));
  EXPECT_EQ(Rates({{"base", 1.0},
                   {"warmup_style", std::string("as_arcface_torch")},
                   {"total_steps", int64_t{4}}},
                  5),
            (Values{1, 0.75, 0.5, 0.25, 0}));
}

TEST(LearningRateTest, QuadraticDecayWithoutWarmUp) {
  EXPECT_EQ(
      Rates({{"base", 4.0}, {"total_steps", int64_t{4}}, {"power", 2.0}}, 5),
      (Values{4, 2.25, 1, 0.25, 0}));
}

TEST(LearningRateTest, ConstantWithoutTotalSteps) {
  EXPECT_EQ(Rates({{"base", 0.5}, {"warmup_steps", int64_t{2}}}, 4),
            (Values{0.25, 0.5, 0.5, 0.5}));
}

TEST(LearningRateTest, RefusesAWarmUpThatDoesNotEnd) {
  std::vector<TensorType> outputs;
  const Attributes attributes = {{"base", 0.1},
                                 {"warmup_steps", int64_t{6}},
                                 {"total_steps", int64_t{6}},
                                 {"power", 1.0}};
  EXPECT_EQ(
      FindOp("learning_rate")->infer({attributes, {}, {}}, &outputs).message(),
      "attribute \"total_steps\" is 6 but \"warmup_steps\" is 6; the warm-up "
      "must end before the training does (total_steps 0 means no decay)");
}

}  // namespace
}  // namespace facet::ops
