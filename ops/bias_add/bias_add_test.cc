#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

std::vector<Values> Reference(const Attributes&,
                              const std::vector<TensorType>& types,
                              const std::vector<Values>& inputs) {
  const int64_t columns = types[0].shape[1];
  Values y = inputs[0];
  for (size_t i = 0; i < y.size(); ++i) y[i] += inputs[1][i % columns];
  return {y};
}

OpCase Case(int64_t rows, int64_t columns) {
  OpCase op_case;
  op_case.op = "bias_add";
  op_case.inputs = {{DataType::kFloat32, {rows, columns}},
                    {DataType::kFloat32, {columns}}};
  return op_case;
}

TEST(BiasAddTest, Values) {
  ExpectMatchesReference(Case(7, 13), Reference);
  ExpectMatchesReference(Case(1, 1), Reference);
  ExpectMatchesReference(Case(130, 512), Reference);
  ExpectMatchesReference(Case(0, 13), Reference);
  ExpectMatchesReference(Case(7, 0), Reference);
}

TEST(BiasAddTest, Gradient) { ExpectGradientMatches(Case(5, 9), Reference); }

TEST(BiasAddTest, RefusesABiasOfAnotherLength) {
  std::vector<TensorType> outputs;
  const std::vector<TensorType> inputs = {{DataType::kFloat32, {7, 13}},
                                          {DataType::kFloat32, {7}}};
  EXPECT_EQ(FindOp("bias_add")->infer({{}, inputs, {}}, &outputs).message(),
            "bias is float32[7]; expected float32[13], as x is "
            "float32[7, 13]");
}

}  // namespace
}  // namespace facet::ops
