#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"

namespace facet::ops {
namespace {

TEST(FillTest, EveryElementOfEveryType) {
  for (DataType dtype :
       {DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16,
        DataType::kInt32, DataType::kInt64}) {
    for (const Shape& shape : {Shape{}, Shape{13}, Shape{300, 301}}) {
      const HostValue value =
          RunOp(*FindOp("fill"), {{"value", 7.0}}, {},
                {HostValue::Whole({dtype, shape}).slice()}, {}, CpuKernels())
              .value()[0];
      EXPECT_THAT(value.ToDoubles(), ::testing::Each(7.0));
    }
  }
}

TEST(FillTest, TypeComesFromTheAttributes) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const TensorId value = builder.Add1("fill", "one", {},
                                      {{"dtype", std::string("float16")},
                                       {"shape", std::vector<int64_t>{2, 3}},
                                       {"value", 1.0}});
  ASSERT_TRUE(builder.status().ok()) << builder.status();
  EXPECT_EQ(builder.type(value).ToString(), "float16[2, 3]");
}

TEST(FillTest, RefusesAFractionAsAnInteger) {
  Graph graph;
  const absl::Status status = GraphBuilder(&graph, FindOp)
                                  .Add("fill", "half", {},
                                       {{"dtype", std::string("int32")},
                                        {"shape", std::vector<int64_t>{2}},
                                        {"value", 0.5}})
                                  .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("0.5"));
}

}  // namespace
}  // namespace facet::ops
