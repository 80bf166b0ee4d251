#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/interpreter.h"

namespace facet::ops {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ints = std::vector<int64_t>;
using Doubles = std::vector<double>;

constexpr DataType kAllTypes[] = {DataType::kFloat32, DataType::kFloat16,
                                  DataType::kBFloat16, DataType::kInt32,
                                  DataType::kInt64};

HostValue Value(DataType dtype, const Shape& shape, const Doubles& values) {
  HostValue value = HostValue::Whole({dtype, shape});
  value.FromDoubles(values);
  return value;
}

Doubles Count(int64_t n) {
  Doubles values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = static_cast<double>(i);
  return values;
}

// What the CPU's kernel makes; CUDA's, where they can run, make the same.
Doubles RunOnAll(const std::string& op, const Attributes& attributes,
                 const std::vector<HostValue>& inputs, const TensorType& type) {
  auto run = [&](const KernelLibrary& kernels) {
    return RunOp(*FindOp(op), attributes, inputs,
                 {HostValue::Whole(type).slice()}, {}, kernels)
        .value()[0]
        .ToDoubles();
  };
  const Doubles result = run(CpuKernels());
  if (CudaUnavailable().empty()) {
    EXPECT_EQ(run(CudaKernelsOnHost()), result) << op;
  }
  return result;
}

Doubles Pack(const HostValue& x, const Ints& regions, int64_t n) {
  return RunOnAll("pack_regions", {{"regions", regions}}, {x},
                  {x.slice().dtype, {n}});
}

Doubles Unpack(const std::vector<HostValue>& inputs, const TensorType& type,
               const Ints& regions, const std::string& fill,
               const std::string& combine) {
  return RunOnAll(
      "unpack_regions",
      {{"shape", Ints(type.shape.dims().begin(), type.shape.dims().end())},
       {"dtype", std::string(DataTypeName(type.dtype))},
       {"regions", regions},
       {"fill", fill},
       {"combine", combine}},
      inputs, type);
}

TEST(PackRegionsTest, BoxesOneAfterTheOther) {
  for (DataType dtype : kAllTypes) {
    const HostValue x = Value(dtype, {3, 4}, Count(12));
    EXPECT_THAT(Pack(x, {0, 2, 3, 2, /**/ 1, 0, 1, 2}, 8),
                ElementsAre(2, 3, 6, 7, 10, 11, 4, 5));
    EXPECT_EQ(Pack(x, {0, 0, 3, 4}, 12), Count(12));
  }
}

TEST(PackRegionsTest, BoxInFourDimensions) {
  const HostValue x = Value(DataType::kInt32, {2, 3, 2, 2}, Count(24));
  EXPECT_THAT(Pack(x, {0, 1, 0, 1, 2, 2, 2, 1}, 8),
              ElementsAre(5, 7, 9, 11, 17, 19, 21, 23));
}

TEST(PackRegionsTest, RowsOfABlockedTensor) {
  TensorSlice slice =
      HostValue::Whole({DataType::kFloat32, {3, 8, 2, 2}}).slice();
  slice.layout = Layout::kBlocked8;
  HostValue x(slice);
  for (int i = 0; i < 96; ++i) x.as<float>()[i] = static_cast<float>(i);
  // Rows 1 and 2 as they lie in memory.
  const Doubles packed = Pack(x, {1, 0, 0, 0, 2, 8, 2, 2}, 64);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(packed[i], 32 + i);
}

TEST(PackRegionsTest, LargeEnoughForManyThreads) {
  const HostValue x = Value(DataType::kInt32, {500, 300}, Count(150000));
  const Doubles packed = Pack(x, {0, 100, 500, 200, 0, 0, 500, 100}, 150000);
  for (int64_t row = 0; row < 500; ++row) {
    ASSERT_EQ(packed[row * 200], row * 300 + 100);
    ASSERT_EQ(packed[100000 + row * 100 + 99], row * 300 + 99);
  }
}

TEST(PackRegionsTest, Scalar) {
  EXPECT_THAT(Pack(Value(DataType::kFloat32, {}, {7}), {}, 1), ElementsAre(7));
  // One for each of three devices.
  EXPECT_THAT(Pack(Value(DataType::kFloat32, {}, {7}), {}, 3),
              ElementsAre(7, 7, 7));
}

TEST(UnpackRegionsTest, IsTheInverseOfPack) {
  const Ints regions = {0, 2, 3, 2, 0, 0, 3, 2};
  for (DataType dtype : kAllTypes) {
    const HostValue x = Value(dtype, {3, 4}, Count(12));
    const HostValue packed = Value(dtype, {12}, Pack(x, regions, 12));
    EXPECT_EQ(Unpack({packed}, {dtype, {3, 4}}, regions, "none", "assign"),
              Count(12));
  }
}

TEST(UnpackRegionsTest, FillsWhatNoBoxCovers) {
  for (DataType dtype : kAllTypes) {
    const HostValue x = Value(dtype, {2}, {5, 6});
    EXPECT_THAT(Unpack({x}, {dtype, {2, 2}}, {0, 1, 2, 1}, "zero", "assign"),
                ElementsAre(0, 5, 0, 6));
    EXPECT_THAT(Unpack({}, {dtype, {3}}, {}, "zero", "assign"),
                ElementsAre(0, 0, 0));
  }
}

TEST(UnpackRegionsTest, LowestIsTheIdentityOfMax) {
  for (DataType dtype : kAllTypes) {
    const double lowest =
        dtype == DataType::kInt32
            ? static_cast<double>(std::numeric_limits<int32_t>::lowest())
        : dtype == DataType::kInt64
            ? static_cast<double>(std::numeric_limits<int64_t>::lowest())
            : -std::numeric_limits<double>::infinity();
    EXPECT_THAT(Unpack({Value(dtype, {2}, {-5, 6})}, {dtype, {3}}, {1, 2},
                       "lowest", "max"),
                ElementsAre(lowest, -5, 6));
  }
}

TEST(UnpackRegionsTest, OverlappingPiecesAreCombined) {
  for (DataType dtype : kAllTypes) {
    const HostValue x = Value(dtype, {6}, {1, 2, 3, /**/ 10, -20, 30});
    const Ints regions = {0, 3, 1, 3};
    const TensorType type = {dtype, {4}};
    EXPECT_THAT(Unpack({x}, type, regions, "zero", "sum"),
                ElementsAre(1, 12, -17, 30));
    EXPECT_THAT(Unpack({x}, type, regions, "lowest", "max"),
                ElementsAre(1, 10, 3, 30));
    EXPECT_THAT(Unpack({x}, type, regions, "zero", "assign"),
                ElementsAre(1, 10, -20, 30));
  }
}

TEST(UnpackRegionsTest, LongRunsOfHalves) {
  for (DataType dtype : {DataType::kFloat16, DataType::kBFloat16}) {
    Doubles values = Count(101);
    values.insert(values.end(), 101, 0.5);
    const Doubles y = Unpack({Value(dtype, {202}, values)}, {dtype, {101}},
                             {0, 101, 0, 101}, "zero", "sum");
    for (int i = 0; i < 101; ++i) EXPECT_EQ(y[i], i + 0.5);
  }
}

TEST(UnpackRegionsTest, Scalars) {
  const HostValue x = Value(DataType::kFloat32, {3}, {1, 2, 4});
  EXPECT_THAT(Unpack({x}, {DataType::kFloat32, {}}, {}, "zero", "sum"),
              ElementsAre(7));
  EXPECT_THAT(Unpack({}, {DataType::kFloat32, {}}, {}, "zero", "assign"),
              ElementsAre(0));
}

TEST(BoxingTest, InferChecksTheRegions) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId x =
      builder.Add1("fill", "x", {}, {{"shape", std::vector<int64_t>{3, 4}}});
  const auto pack = [&](Ints regions) {
    return std::string(
        builder.Add("pack_regions", "p", {x}, {{"regions", regions}})
            .status()
            .message());
  };
  EXPECT_EQ(pack({0, 2, 3, 2}), "");
  EXPECT_EQ(builder.type(graph.tensors.size() - 1).ToString(), "float32[6]");
  EXPECT_THAT(pack({0, 2, 3}), HasSubstr("a box of [3, 4] takes 4"));
  EXPECT_THAT(pack({0, 2, 3, 3}), HasSubstr("not inside [3, 4]"));
  EXPECT_THAT(pack({-1, 2, 3, 2}), HasSubstr("not inside [3, 4]"));

  const TensorId flat =
      builder.Add1("fill", "flat", {}, {{"shape", std::vector<int64_t>{6}}});
  const auto unpack = [&](Attributes attributes) {
    attributes.Set("shape", Ints{3, 4});
    if (!attributes.Has("regions")) {
      attributes.Set("regions", Ints{0, 2, 3, 2});
    }
    return std::string(builder.Add("unpack_regions", "u", {flat}, attributes)
                           .status()
                           .message());
  };
  EXPECT_EQ(unpack({}), "");
  EXPECT_THAT(unpack({{"regions", Ints{0, 2, 2, 2}}}),
              HasSubstr("the regions have 4 elements, input x has 6"));
  EXPECT_THAT(unpack({{"fill", std::string("one")}}),
              HasSubstr("\"fill\" is \"one\"; use none, zero or lowest"));
  EXPECT_THAT(unpack({{"combine", std::string("min")}}),
              HasSubstr("\"combine\" is \"min\"; use assign, sum or max"));
  EXPECT_THAT(unpack({{"dtype", std::string("int32")}}),
              HasSubstr("input x is float32[6]"));
}

TEST(BoxingTest, IsPhysicalAndNeverRun) {
  for (const char* op : {"boxing", "pack_regions", "unpack_regions"}) {
    EXPECT_TRUE(FindOp(op)->physical) << op;
    EXPECT_TRUE(FindOp(op)->signatures == nullptr) << op;
  }
  EXPECT_TRUE(CpuKernels().find("boxing")->create == nullptr);
}

}  // namespace
}  // namespace facet::ops
