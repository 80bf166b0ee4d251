// conv2d_statistics against plain loops in float64.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/batch_norm/reference.h"
#include "ops/conv2d/reference.h"
#include "ops/cuda_kernels.h"
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
       {Sizes{5, 8, 5, 4, 16, 3, 3, 1, 1}, Sizes{4, 3, 6, 5, 7, 3, 3, 2, 1},
        Sizes{3, 8, 4, 4, 8, 1, 1, 2, 0}}) {
    for (int64_t groups : {1, 2, 3}) {
      SCOPED_TRACE(absl::StrCat(s.x().ToString(), " in ", groups));
      OpCase op_case = {
          "conv2d_statistics", s.attributes(), {s.x(), s.w()}, {}};
      op_case.attributes.Set("groups", groups);
      op_case.every_alternative = true;
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
