#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"

namespace facet::ops {
namespace {

constexpr Layout kLayouts[] = {Layout::kRowMajor, Layout::kChannelsLast,
                               Layout::kBlocked8, Layout::kBlocked16};

HostValue Numbered(DataType dtype, const Shape& shape, Layout layout) {
  TensorSlice slice = HostValue::Whole({dtype, shape}).slice();
  slice.layout = layout;
  HostValue value(slice);
  std::vector<double> numbers(shape.num_elements());
  // Small enough for bfloat16 to hold them exactly, and no period that a
  // dimension could hide behind.
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = static_cast<double>(i * 37 % 251);
  }
  value.FromDoubles(numbers);
  return value;
}

TEST(ReorderTest, FromEveryLayoutToEveryOther) {
  for (DataType dtype : {DataType::kFloat32, DataType::kBFloat16,
                         DataType::kFloat16, DataType::kInt64}) {
    for (const Shape& shape :
         {Shape{2, 32, 5, 7}, Shape{1, 16, 20, 21}, Shape{3, 48, 1, 1}}) {
      for (Layout from : kLayouts) {
        for (Layout to : kLayouts) {
          const HostValue x = Numbered(dtype, shape, from);
          TensorSlice slice = x.slice();
          slice.layout = to;
          const absl::StatusOr<std::vector<HostValue>> y =
              RunOp(*FindOp("reorder"), {}, {x}, {slice}, {}, CpuKernels());
          ASSERT_TRUE(y.ok()) << y.status();
          EXPECT_EQ((*y)[0].ToDoubles(), x.ToDoubles())
              << shape.ToString() << " " << std::string(LayoutName(from))
              << " -> " << std::string(LayoutName(to));
        }
      }
    }
  }
}

// No multiple of 8 anywhere: only row-major and channels-last exist.
TEST(ReorderTest, OddChannels) {
  for (Layout from : {Layout::kRowMajor, Layout::kChannelsLast}) {
    const HostValue x = Numbered(DataType::kFloat32, {2, 3, 9, 11}, from);
    TensorSlice slice = x.slice();
    slice.layout =
        from == Layout::kRowMajor ? Layout::kChannelsLast : Layout::kRowMajor;
    const HostValue y =
        RunOp(*FindOp("reorder"), {}, {x}, {slice}, {}, CpuKernels())
            .value()[0];
    EXPECT_EQ(y.ToDoubles(), x.ToDoubles());
  }
}

TEST(ReorderTest, OnlyImagesHaveLayouts) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId x =
      builder.Add1("fill", "x", {}, {{"shape", std::vector<int64_t>{2, 3}}});
  EXPECT_THAT(std::string(builder.Add("reorder", "y", {x}).status().message()),
              ::testing::HasSubstr("float32[2, 3]"));
}

}  // namespace
}  // namespace facet::ops
