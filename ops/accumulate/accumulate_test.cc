#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

std::vector<Values> Mean(const Attributes& attributes,
                         const std::vector<TensorType>&,
                         const std::vector<Values>& inputs) {
  Values mean = inputs[0];
  for (size_t i = 0; i < mean.size(); ++i) {
    mean[i] = (mean[i] + inputs[1][i]) / attributes.Int("steps");
  }
  return {mean};
}

TEST(MeanGradientTest, MatchesReference) {
  for (const Shape& shape : {Shape{}, Shape{3, 7}, Shape{40000}}) {
    OpCase op_case;
    op_case.op = "mean_gradient";
    op_case.attributes = {{"steps", int64_t{3}}};
    op_case.inputs.assign(2, {DataType::kFloat32, shape});
    ExpectMatchesReference(op_case, Mean);
  }
}

// The sum is what a loop over the steps gives, whatever was there before, also
// when the run begins within a sum's steps.
TEST(AccumulateGradientTest, AddsAllButTheLast) {
  const TensorType type = {DataType::kFloat32, {4, 9}};
  std::vector<std::pair<int64_t, const KernelLibrary*>> cases;
  for (const int64_t steps : {2, 3, 5}) {
    cases.push_back({steps, &CpuKernels()});
    if (CudaUnavailable().empty())
      cases.push_back({steps, &CudaKernelsOnHost()});
  }
  for (const auto& [steps, kernels] : cases) {
    HostValue sum = HostValue::Whole(type);
    sum.FromDoubles(Values(36, 7.0));
    Values want(36, 7.0);
    for (int64_t step = 0; step < 3 * steps; ++step) {
      HostValue gradient = HostValue::Whole(type);
      gradient.FromDoubles(RandomValues(type, {}, 10 + step));
      RunOptions options;
      options.step = step;
      const auto ran = RunOp(*FindOp("accumulate_gradient"), {{"steps", steps}},
                             {sum, gradient}, {}, options, *kernels);
      ASSERT_TRUE(ran.ok()) << ran.status();
      const Values g = gradient.ToDoubles();
      for (size_t i = 0; i < want.size(); ++i) {
        if (step % steps == 0) want[i] = 0;
        if (step % steps != steps - 1) want[i] += g[i];
      }
      const Values got = sum.ToDoubles();
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_NEAR(got[i], want[i], 1e-5)
            << "step " << step << " of " << steps;
      }
    }
  }
}

TEST(AccumulateGradientTest, RefusesWhatIsNoSum) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  auto variable = [&](const char* name, std::vector<int64_t> shape) {
    return builder.Add1("variable", name, {}, {{"shape", std::move(shape)}});
  };
  const TensorId sum = variable("sum", {3}), other = variable("other", {4});
  EXPECT_EQ(builder.Add("mean_gradient", "mean", {sum, other}).status(),
            absl::InvalidArgumentError(
                "mean: gradient is float32[4]; expected float32[3]: one number "
                "for each of sum"));
  EXPECT_EQ(
      builder
          .Add("accumulate_gradient", "a", {sum, sum}, {{"steps", int64_t{1}}})
          .status(),
      absl::InvalidArgumentError("a: attribute \"steps\" is 1; at least 2"));
}

}  // namespace
}  // namespace facet::ops
