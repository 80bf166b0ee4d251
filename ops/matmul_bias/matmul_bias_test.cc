// matmul_bias against plain loops in float64.
#include <array>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ops/cuda_kernels.h"
#include "ops/matmul/reference.h"
#include "ops/may_round_attribute.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

std::vector<Values> Reference(const Attributes& attributes,
                              const std::vector<TensorType>& types,
                              const std::vector<Values>& inputs) {
  std::vector<Values> y = matmul_reference::Product(attributes, types, inputs);
  const Values& bias = inputs[2];
  for (size_t i = 0; i < y[0].size(); ++i) y[0][i] += bias[i % bias.size()];
  return y;
}

OpCase Case(int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
  const DataType f32 = DataType::kFloat32;
  OpCase op_case;
  op_case.op = "matmul_bias";
  op_case.attributes = {{"transpose_a", ta}, {"transpose_b", tb}};
  op_case.inputs = {{f32, ta ? Shape{k, m} : Shape{m, k}},
                    {f32, tb ? Shape{n, k} : Shape{k, n}},
                    {f32, {n}}};
  op_case.every_alternative = true;
  return op_case;
}

TEST(MatmulBias, IsTheDefinition) {
  for (bool ta : {false, true}) {
    for (bool tb : {false, true}) {
      for (const auto& [m, n, k] :
           {std::array<int64_t, 3>{7, 13, 5}, {40, 64, 136}, {1, 1, 1}}) {
        ExpectMatchesReference(Case(m, n, k, ta, tb), Reference);
      }
    }
  }
}

// A device's share may have no rows, columns or products.
TEST(MatmulBias, OfEmptyShares) {
  for (const auto& [m, n, k] :
       {std::array<int64_t, 3>{0, 13, 5}, {7, 0, 5}, {7, 13, 0}}) {
    ExpectMatchesReference(Case(m, n, k, false, true), Reference);
  }
}

// Sharded by the contracted dimension every device would add the bias.
TEST(MatmulBias, IsNotShardableByTheContractedDimension) {
  const OpDef& def = *FindOp("matmul_bias");
  OpCase op_case = Case(6, 8, 10, false, true);
  op_case.attributes.Set("algorithm", std::string("auto"));
  std::vector<TensorType> y;
  ASSERT_TRUE(def.infer({op_case.attributes, op_case.inputs, {}}, &y).ok());
  const std::vector<Signature> expected = {
      Uniform(3, 1, Sbp::B()),
      {{Sbp::S(0), Sbp::B(), Sbp::B()}, {Sbp::S(0)}},
      {{Sbp::B(), Sbp::S(0), Sbp::S(0)}, {Sbp::S(1)}}};
  EXPECT_TRUE(def.signatures({op_case.attributes, op_case.inputs, y}, 2) ==
              expected);
  const Cost cost = LocalCost(def, {op_case.attributes, op_case.inputs, y});
  EXPECT_EQ(cost.flops, 2 * 6 * 8 * 10 + 6 * 8);
  EXPECT_EQ(cost.bytes, 4 * (6 * 10 + 8 * 10 + 8 + 6 * 8));
}

TEST(MatmulBias, OnCudaCublasLtAddsTheBias) {
  const OpCase op_case = Case(6, 8, 10, false, true);
  KernelSpec spec;
  spec.attributes = op_case.attributes;
  spec.attributes.Set("algorithm", std::string("auto"));
  spec.attributes.Set(kMayRound, false);
  for (const TensorType& type : op_case.inputs) {
    spec.inputs.push_back(HostValue::Whole(type).slice());
  }
  spec.outputs = {HostValue::Whole({DataType::kFloat32, {6, 8}}).slice()};
  std::vector<std::string> algorithms;
  for (const Attributes& one :
       CudaKernels().find("matmul_bias")->alternatives(spec)) {
    algorithms.push_back(one.String("algorithm"));
  }
  EXPECT_EQ(algorithms,
            (std::vector<std::string>{"auto", "cublaslt:0", "cublaslt:1",
                                      "cublaslt:2", "cublaslt:3"}));
}

}  // namespace
}  // namespace facet::ops
