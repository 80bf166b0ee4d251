#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph/shard.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/random.h"
#include "ops/testing/interpreter.h"

namespace facet::ops {
namespace {

using ::testing::HasSubstr;

absl::Status AddVariable(Attributes attributes) {
  Graph graph;
  return GraphBuilder(&graph, FindOp)
      .Add("variable", "w", {}, std::move(attributes))
      .status();
}

Attributes Normal(int64_t key = 3) {
  return {{"init", std::string("normal")},
          {"mean", 0.25},
          {"stddev", 0.5},
          {"key", key}};
}

HostValue RunShare(const Attributes& attributes, DataType dtype,
                   const Shape& shape, const Region& region,
                   int64_t seed = 11) {
  RunOptions options;
  options.step = -1;
  options.seed = seed;
  return RunOp(*FindOp("variable"), attributes, {},
               {{dtype, Layout::kRowMajor, region.shape, shape, region.offset}},
               options, CpuKernels())
      .value()[0];
}

HostValue RunWhole(const Attributes& attributes, DataType dtype,
                   const Shape& shape, int64_t seed = 11) {
  return RunShare(attributes, dtype, shape, WholeRegion(shape), seed);
}

TEST(VariableTest, ConstantOfEveryType) {
  for (DataType dtype :
       {DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16,
        DataType::kInt32, DataType::kInt64}) {
    const HostValue value = RunWhole(
        {{"init", std::string("constant")}, {"value", -3.0}}, dtype, {5, 7});
    EXPECT_THAT(value.ToDoubles(), ::testing::Each(-3.0));
    EXPECT_EQ(value.ToDoubles().size(), 35u);
  }
}

TEST(VariableTest, NormalIsTheFunctionOfTheElement) {
  const HostValue value = RunWhole(Normal(), DataType::kFloat32, {37, 11});
  const RandomStream stream = {11, 3, 0xFFFFFFFF};
  for (int64_t e = 0; e < 37 * 11; ++e) {
    EXPECT_EQ(value.as<float>()[e], fmaf(RandomNormal(stream, e), 0.5f, 0.25f));
  }
}

TEST(VariableTest, UniformFillsTheRangeEvenly) {
  const Attributes attributes = {
      {"init", std::string("uniform")}, {"bound", 0.25}, {"key", int64_t{3}}};
  const HostValue value = RunWhole(attributes, DataType::kFloat32, {500, 130});
  const RandomStream stream = {11, 3, 0xFFFFFFFF};
  int64_t quarters[4] = {};
  for (int64_t e = 0; e < 500 * 130; ++e) {
    const float v = value.as<float>()[e];
    ASSERT_EQ(v, fmaf(UniformFloat(RandomWord(stream, e)), 0.5f, -0.25f));
    ++quarters[static_cast<int>((v + 0.25f) / 0.125f)];
  }
  // Binomial: standard deviation 110.
  for (int64_t count : quarters) EXPECT_NEAR(count, 16250, 500);
}

TEST(VariableTest, EveryShardHasTheValuesOfTheWhole) {
  for (const Shape& shape :
       {Shape{300, 7}, Shape{9, 260}, Shape{6, 5, 3, 3}, Shape{1000}}) {
    const HostValue whole = RunWhole(Normal(), DataType::kFloat32, shape);
    for (int axis = 0; axis < shape.rank(); ++axis) {
      for (int k : {2, 3}) {
        for (int rank = 0; rank < k; ++rank) {
          const Sbp sbp = Sbp::S(axis);
          const HostValue share = RunShare(Normal(), DataType::kFloat32, shape,
                                           LocalRegion(shape, sbp, k, rank));
          EXPECT_EQ(share.ToDoubles(),
                    TakeShare(whole, sbp, k, rank).ToDoubles())
              << shape.ToString() << " " << sbp.ToString() << " " << rank;
        }
      }
    }
  }
}

TEST(VariableTest, BoxSplitAlongTwoDimensions) {
  const Shape shape = {6, 9, 4};
  const HostValue whole = RunWhole(Normal(), DataType::kFloat32, shape);
  const HostValue box =
      RunShare(Normal(), DataType::kFloat32, shape, {{2, 3, 1}, {3, 4, 2}});
  int64_t i = 0;
  for (int64_t a = 2; a < 5; ++a) {
    for (int64_t b = 3; b < 7; ++b) {
      for (int64_t c = 1; c < 3; ++c) {
        EXPECT_EQ(box.as<float>()[i++], whole.as<float>()[(a * 9 + b) * 4 + c]);
      }
    }
  }
}

TEST(VariableTest, HalfTypesAreTheFloatsRounded) {
  const Shape shape = {1000};
  const HostValue exact = RunWhole(Normal(), DataType::kFloat32, shape);
  for (DataType dtype : {DataType::kFloat16, DataType::kBFloat16}) {
    HostValue rounded = HostValue::Whole({dtype, shape});
    rounded.FromDoubles(exact.ToDoubles());
    EXPECT_EQ(RunWhole(Normal(), dtype, shape).ToDoubles(),
              rounded.ToDoubles());
  }
}

TEST(VariableTest, MeanAndDeviation) {
  const HostValue value = RunWhole(Normal(), DataType::kFloat32, {1000, 512});
  double sum = 0, square = 0;
  const std::vector<double> values = value.ToDoubles();
  for (double v : values) {
    sum += v;
    square += (v - 0.25) * (v - 0.25);
  }
  const double n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0.25, 5 * 0.5 / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(square / n), 0.5, 5 * 0.5 / std::sqrt(2 * n));
}

TEST(VariableTest, SeedAndKeyMatter) {
  const Shape shape = {64};
  const auto values = [&](int64_t key, int64_t seed) {
    return RunWhole(Normal(key), DataType::kFloat32, shape, seed).ToDoubles();
  };
  EXPECT_EQ(values(1, 1), values(1, 1));
  EXPECT_NE(values(1, 1), values(2, 1));
  EXPECT_NE(values(1, 1), values(1, 2));
}

TEST(VariableTest, RefusesWhatMakesNoSense) {
  using Ints = std::vector<int64_t>;
  EXPECT_TRUE(AddVariable({{"shape", Ints{2, 3}}}).ok());
  EXPECT_TRUE(AddVariable({{"shape", Ints{}}}).ok());
  EXPECT_THAT(std::string(AddVariable({{"shape", Ints{2, 0}}}).message()),
              HasSubstr("[2, 0]"));
  EXPECT_THAT(std::string(AddVariable({{"shape", Ints{2}},
                                       {"dtype", std::string("int7")}})
                              .message()),
              HasSubstr("int7"));
  EXPECT_THAT(std::string(AddVariable({{"shape", Ints{2}},
                                       {"init", std::string("zeros")}})
                              .message()),
              HasSubstr("\"zeros\"; use \"constant\", \"normal\""));
  EXPECT_THAT(std::string(AddVariable({{"shape", Ints{2}},
                                       {"init", std::string("uniform")},
                                       {"bound", -2.0}})
                              .message()),
              HasSubstr("\"bound\" is -2"));
  EXPECT_THAT(std::string(AddVariable({{"shape", Ints{2}},
                                       {"init", std::string("normal")},
                                       {"stddev", -1.0}})
                              .message()),
              HasSubstr("\"stddev\" is -1"));
  EXPECT_THAT(std::string(AddVariable({{"shape", Ints{2}},
                                       {"init", std::string("normal")},
                                       {"dtype", std::string("int32")}})
                              .message()),
              HasSubstr("int32"));
  EXPECT_THAT(
      std::string(
          AddVariable({{"shape", Ints{2}}, {"key", int64_t{-1}}}).message()),
      HasSubstr("\"key\" is -1"));
}

}  // namespace
}  // namespace facet::ops
