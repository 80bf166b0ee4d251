#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/random.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

// Of step 0 and seed 0, as the tests' interpreter has them.
std::vector<Values> Dropped(const Attributes& attributes,
                            const std::vector<TensorType>&,
                            const std::vector<Values>& inputs) {
  const double rate = attributes.Float("rate");
  const RandomStream stream = {0, static_cast<uint32_t>(attributes.Int("key")),
                               0};
  Values y = inputs[0];
  for (size_t i = 0; i < y.size(); ++i) {
    const bool keep = RandomWord(stream, i) * 0x1p-32 >= rate;
    y[i] = keep ? y[i] / (1 - rate) : 0;
  }
  return {y};
}

OpCase Case(double rate, Shape shape) {
  OpCase op_case;
  op_case.op = "dropout";
  op_case.attributes = {{"rate", rate}, {"key", int64_t{9}}};
  op_case.inputs = {{DataType::kFloat32, std::move(shape)}};
  return op_case;
}

HostValue Drop(const HostValue& x, double rate, int64_t step, int64_t key = 1) {
  RunOptions options;
  options.step = step;
  options.seed = 5;
  return RunOp(*FindOp("dropout"), {{"rate", rate}, {"key", key}}, {x},
               {x.slice()}, options, CpuKernels())
      .value()[0];
}

HostValue Ones(const Shape& shape) {
  HostValue x = HostValue::Whole({DataType::kFloat32, shape});
  x.FromDoubles(std::vector<double>(shape.num_elements(), 1.0));
  return x;
}

TEST(DropoutTest, MatchesReference) {
  for (double rate : {0.0, 0.3, 0.999}) {
    ExpectMatchesReference(Case(rate, {7, 300}), Dropped);
    ExpectMatchesReference(Case(rate, {70000}), Dropped);
  }
}

TEST(DropoutTest, GradientHasTheSameMask) {
  ExpectGradientMatches(Case(0.4, {5, 30}), Dropped);
}

TEST(DropoutTest, KeepsTheMean) {
  const std::vector<double> y = Drop(Ones({1000, 512}), 0.4, 3).ToDoubles();
  double sum = 0;
  for (double v : y) {
    EXPECT_TRUE(v == 0 || std::abs(v - 1 / 0.6) < 1e-6);
    sum += v;
  }
  const double n = static_cast<double>(y.size());
  EXPECT_NEAR(sum / n, 1, 5 * std::sqrt(0.4 / 0.6 / n));
}

TEST(DropoutTest, MaskDependsOnStepAndKey) {
  const HostValue x = Ones({500});
  const std::vector<double> y = Drop(x, 0.5, 1, 1).ToDoubles();
  EXPECT_EQ(y, Drop(x, 0.5, 1, 1).ToDoubles());
  EXPECT_NE(y, Drop(x, 0.5, 2, 1).ToDoubles());
  EXPECT_NE(y, Drop(x, 0.5, 1, 2).ToDoubles());
}

TEST(DropoutTest, ShardsHaveTheMaskOfTheWhole) {
  const HostValue x = Ones({7, 600});
  const HostValue whole = Drop(x, 0.5, 4);
  for (const Sbp& sbp : {Sbp::S(0), Sbp::S(1)}) {
    for (int rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(Drop(TakeShare(x, sbp, 3, rank), 0.5, 4).ToDoubles(),
                TakeShare(whole, sbp, 3, rank).ToDoubles());
    }
  }
}

TEST(DropoutTest, RefusesARateThatIsNoProbability) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId x =
      builder.Add1("fill", "x", {}, {{"shape", std::vector<int64_t>{2}}});
  for (double rate : {1.0, -0.1, std::nan("")}) {
    EXPECT_THAT(std::string(builder.Add("dropout", "y", {x}, {{"rate", rate}})
                                .status()
                                .message()),
                ::testing::HasSubstr("it must be in [0, 1)"));
  }
}

}  // namespace
}  // namespace facet::ops
