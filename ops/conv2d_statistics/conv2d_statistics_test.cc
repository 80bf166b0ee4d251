// conv2d_statistics against plain loops in float64.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/batch_norm/reference.h"
#include "ops/conv2d/reference.h"
#include "ops/cuda_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

using conv2d_reference::Sizes;

Reference WithStatistics(const Sizes& s, int64_t groups) {
  return [s, groups](const Attributes& attributes,
                     const std::vector<TensorType>& types,
                     const std::vector<Values>& inputs) {
    std::vector<Values> all =
        conv2d_reference::Forward(s)(attributes, types, inputs);
    for (Values& sums :
         batch_norm_reference::Statistics(s.y().shape, groups, all[0])) {
      all.push_back(std::move(sums));
    }
    return all;
  };
}

TEST(Conv2dStatistics, IsTheDefinition) {
  for (const Sizes& s :
       {Sizes{5, 16, 7, 5, 24, 3, 3, 1, 1}, Sizes{4, 3, 6, 5, 7, 3, 3, 2, 1},
        Sizes{3, 8, 4, 4, 8, 1, 1, 2, 0}}) {
    for (int64_t groups : {1, 2, 3}) {
      SCOPED_TRACE(absl::StrCat(s.x().ToString(), " in ", groups));
      OpCase op_case = {
          "conv2d_statistics", s.attributes(), {s.x(), s.w()}, {}};
      op_case.attributes.Set("groups", groups);
      ExpectMatchesReference(op_case, WithStatistics(s, groups));
    }
  }
}

KernelSpec CudaSpec(const Sizes& s, DataType dtype, int64_t groups = 1) {
  auto slice = [&](const TensorType& type, Layout layout) {
    TensorSlice result = HostValue::Whole(type).slice();
    result.layout = layout;
    return result;
  };
  auto half = [&](TensorType type, Layout layout) {
    type.dtype = dtype;
    return slice(type, layout);
  };
  const TensorType sums = {DataType::kFloat32, {groups, s.outputs}};
  KernelSpec spec;
  spec.attributes = s.attributes();
  spec.attributes.Set("algorithm", std::string("auto"));
  spec.attributes.Set("groups", groups);
  spec.inputs = {half(s.x(), Layout::kChannelsLast),
                 half(s.w(), Layout::kRowMajor)};
  spec.outputs = {half(s.y(), Layout::kChannelsLast),
                  slice(sums, Layout::kRowMajor),
                  slice(sums, Layout::kRowMajor)};
  return spec;
}

std::vector<std::string> Algorithms(const KernelSpec& spec) {
  std::vector<std::string> algorithms;
  for (const Attributes& one :
       CudaKernels().find("conv2d_statistics")->alternatives(spec)) {
    EXPECT_EQ(one.Int("groups"), spec.attributes.Int("groups"));
    algorithms.push_back(one.String("algorithm"));
  }
  return algorithms;
}

constexpr Sizes kBlock{2, 16, 7, 5, 24, 3, 3, 1, 1};

TEST(Conv2dStatistics, OnCudaThereAreEnginesForBothInFloat16) {
  using Names = std::vector<std::string>;
  const Names joined = {"auto", "cudnn:0", "cudnn:1", "cudnn:2", "cudnn:3"};
  const Names separate = {"auto"};
  EXPECT_EQ(Algorithms(CudaSpec(kBlock, DataType::kFloat16)), joined);
  EXPECT_EQ(Algorithms(CudaSpec(kBlock, DataType::kBFloat16)), separate);
  EXPECT_EQ(Algorithms(CudaSpec(kBlock, DataType::kFloat16, 2)), separate);
  const Sizes stem{2, 3, 7, 5, 24, 3, 3, 1, 1};
  EXPECT_EQ(Algorithms(CudaSpec(stem, DataType::kFloat16)), separate);
  const Sizes odd{2, 16, 7, 5, 25, 3, 3, 1, 1};
  EXPECT_EQ(Algorithms(CudaSpec(odd, DataType::kFloat16)), separate);
  KernelSpec row_major = CudaSpec(kBlock, DataType::kFloat16);
  row_major.outputs[0].layout = Layout::kRowMajor;
  EXPECT_EQ(Algorithms(row_major), separate);
  // Nothing is left open.
  KernelSpec third = CudaSpec(kBlock, DataType::kFloat16);
  third.attributes.Set("algorithm", std::string("cudnn:2"));
  EXPECT_EQ(Algorithms(third), Names{"cudnn:2"});
}

// On a GPU without such an engine, that is what it says.
TEST(Conv2dStatistics, OnCudaEnginesForBothDoWhatTheTwoDo) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  const Sizes blocks[] = {kBlock, {3, 8, 6, 7, 16, 1, 1, 2, 0}};
  int compared = 0;
  for (const Sizes& s : blocks) {
    const KernelSpec spec = CudaSpec(s, DataType::kFloat16);
    std::vector<HostValue> inputs;
    for (const TensorSlice& slice : spec.inputs) {
      inputs.emplace_back(slice);
      inputs.back().FromDoubles(
          RandomValues({slice.dtype, slice.shape}, InputDomain(),
                       static_cast<int64_t>(inputs.size())));
    }
    auto run = [&](const std::string& algorithm) {
      Attributes attributes = spec.attributes;
      attributes.Set("algorithm", algorithm);
      return RunOp(*FindOp("conv2d_statistics"), attributes, inputs,
                   spec.outputs, {}, CudaKernelsOnHost());
    };
    const auto separate = run("auto");
    ASSERT_TRUE(separate.ok()) << separate.status();
    for (const char* algorithm : {"cudnn:0", "cudnn:1"}) {
      const auto joined = run(algorithm);
      if (!CudaIsEmulated() && absl::IsUnimplemented(joined.status())) continue;
      ASSERT_TRUE(joined.ok()) << joined.status();
      ++compared;
      for (size_t o = 0; o < 3; ++o) {
        SCOPED_TRACE(absl::StrCat(algorithm, ", output ", o));
        const Values expected = (*separate)[o].ToDoubles();
        const Values actual = (*joined)[o].ToDoubles();
        ASSERT_EQ(actual.size(), expected.size());
        double largest = 0;
        for (double value : expected) {
          largest = std::max(largest, std::abs(value));
        }
        for (size_t i = 0; i < actual.size(); ++i) {
          // Of y: orders of sums may differ, so that it is rounded otherwise.
          // Of the statistics: y may be rounded before or after.
          EXPECT_NEAR(actual[i], expected[i], 0x1p-9 * largest) << i;
        }
      }
    }
  }
  if (compared == 0) GTEST_SKIP() << "this GPU has no engine for both";
}

TEST(Conv2dStatistics, OnCudaEnginesAreRefusedWhatTheyCannotDo) {
  KernelSpec spec = CudaSpec(kBlock, DataType::kFloat32);
  spec.attributes.Set("algorithm", std::string("cudnn:0"));
  EXPECT_EQ(CudaKernels().find("conv2d_statistics")->create(spec).status(),
            absl::UnimplementedError(
                "cuDNN joins convolutions with the statistics of their results "
                "in float16, nhwc, of multiples of 8 channels and one group "
                "per device; use the algorithm \"auto\""));
}

}  // namespace
}  // namespace facet::ops
