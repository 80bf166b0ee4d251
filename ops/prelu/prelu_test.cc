// prelu and its gradient against plain loops in float64.

#include <omp.h>

#include <vector>

#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

// Channel of element i of a row-major tensor [N, C, ...].
int64_t ChannelOf(const Shape& shape, size_t i) {
  return static_cast<int64_t>(i) / shape.num_elements(2, shape.rank()) %
         shape[1];
}

std::vector<Values> Prelu(const Attributes&,
                          const std::vector<TensorType>& types,
                          const std::vector<Values>& inputs) {
  Values y = inputs[0];
  for (size_t i = 0; i < y.size(); ++i) {
    if (y[i] <= 0) y[i] *= inputs[1][ChannelOf(types[0].shape, i)];
  }
  return {y};
}

std::vector<Values> PreluGrad(const Attributes&,
                              const std::vector<TensorType>& types,
                              const std::vector<Values>& inputs) {
  Values dx = inputs[0];
  Values dalpha(inputs[2].size());
  for (size_t i = 0; i < dx.size(); ++i) {
    const double x = inputs[1][i];
    if (x > 0) continue;
    const int64_t channel = ChannelOf(types[1].shape, i);
    dalpha[channel] += dx[i] * x;
    dx[i] *= inputs[2][channel];
  }
  return {dx, dalpha};
}

std::vector<Shape> Shapes() {
  return {{2, 3, 5, 7}, {3, 16, 9, 11}, {2, 24, 1, 1}, {1, 8, 40, 33},
          {5, 13},      {33, 64},       {1, 1},        {2, 16, 14, 14}};
}

TEST(Prelu, MatchesReference) {
  for (const Shape& shape : Shapes()) {
    const TensorType x = {DataType::kFloat32, shape};
    const TensorType alpha = {DataType::kFloat32, {shape[1]}};
    ExpectMatchesReference({"prelu", {}, {x, alpha}}, Prelu);
    ExpectMatchesReference({"prelu_grad", {}, {x, x, alpha}}, PreluGrad);
  }
}

TEST(Prelu, GradientRuleIsTheDerivative) {
  for (const Shape& shape : {Shape{2, 3, 2, 3}, Shape{4, 5}}) {
    const TensorType x = {DataType::kFloat32, shape};
    ExpectGradientMatches({"prelu", {}, {x, {DataType::kFloat32, {shape[1]}}}},
                          Prelu);
  }
}

HostValue Random(const TensorType& type, Layout layout, int64_t seed) {
  TensorSlice slice = HostValue::Whole(type).slice();
  slice.layout = layout;
  HostValue value(slice);
  value.FromDoubles(RandomValues(type, InputDomain(), seed));
  return value;
}

// dx and dalpha of fixed random operands.
std::vector<Values> RunGrad(const Shape& shape, Layout layout,
                            const RunOptions& options) {
  const TensorType x = {DataType::kFloat32, shape};
  const TensorType alpha = {DataType::kFloat32, {shape[1]}};
  const std::vector<HostValue> inputs = {Random(x, layout, 0),
                                         Random(x, layout, 1),
                                         Random(alpha, Layout::kRowMajor, 2)};
  absl::StatusOr<std::vector<HostValue>> outputs =
      RunOp(*FindOp("prelu_grad"), {}, inputs,
            {inputs[0].slice(), inputs[2].slice()}, options, CpuKernels());
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return {outputs->at(0).ToDoubles(), outputs->at(1).ToDoubles()};
}

TEST(Prelu, ChannelsLastEqualsRowMajor) {
  for (const Shape& shape : {Shape{3, 20, 9, 5}, Shape{2, 3, 8, 8}}) {
    const std::vector<Values> want = RunGrad(shape, Layout::kRowMajor, {});
    const std::vector<Values> got = RunGrad(shape, Layout::kChannelsLast, {});
    EXPECT_EQ(got[0], want[0]);
    for (size_t c = 0; c < want[1].size(); ++c) {
      EXPECT_NEAR(got[1][c], want[1][c], 1e-5);
    }
  }
}

TEST(Prelu, GradientMayLieOverEitherInput) {
  const Shape shape = {3, 16, 9, 5};
  for (Layout layout : {Layout::kRowMajor, Layout::kBlocked8}) {
    const std::vector<Values> want = RunGrad(shape, layout, {});
    for (int input : {0, 1}) {
      RunOptions options;
      options.in_place = {{input, 0}};
      EXPECT_EQ(RunGrad(shape, layout, options), want) << "over " << input;
    }
  }
}

TEST(Prelu, ResultDoesNotDependOnTheTeam) {
  const int team = omp_get_max_threads();
  for (Layout layout : {Layout::kRowMajor, Layout::kChannelsLast,
                        Layout::kBlocked8, Layout::kBlocked16}) {
    omp_set_num_threads(1);
    const std::vector<Values> want = RunGrad({7, 32, 28, 27}, layout, {});
    for (int threads : {2, 3, 5}) {
      omp_set_num_threads(threads);
      EXPECT_EQ(RunGrad({7, 32, 28, 27}, layout, {}), want);
    }
  }
  omp_set_num_threads(team);
}

TEST(Prelu, RefusesWhatDoesNotFit) {
  const TensorType x = {DataType::kFloat32, {2, 3, 4, 4}};
  const std::vector<TensorType> inputs = {x, {DataType::kFloat32, {4}}};
  std::vector<TensorType> outputs;
  EXPECT_EQ(FindOp("prelu")->infer({{}, inputs, {}}, &outputs).message(),
            "alpha is float32[4]; expected float32[3], one per channel of x");
}

}  // namespace
}  // namespace facet::ops
