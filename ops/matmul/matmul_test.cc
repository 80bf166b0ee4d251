#include <limits>

#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/may_round_attribute.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

std::vector<Values> Reference(const Attributes& attributes,
                              const std::vector<TensorType>& types,
                              const std::vector<Values>& inputs) {
  const bool ta = attributes.Bool("transpose_a");
  const bool tb = attributes.Bool("transpose_b");
  const Shape& a = types[0].shape;
  const Shape& b = types[1].shape;
  const int64_t m = a[ta ? 1 : 0], k = a[ta ? 0 : 1], n = b[tb ? 0 : 1];
  Values y(m * n);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t l = 0; l < k; ++l) {
        y[i * n + j] += inputs[0][ta ? l * m + i : i * k + l] *
                        inputs[1][tb ? j * k + l : l * n + j];
      }
    }
  }
  return {y};
}

OpCase Case(int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
  OpCase op_case;
  op_case.op = "matmul";
  op_case.attributes = {{"transpose_a", ta}, {"transpose_b", tb}};
  op_case.inputs = {{DataType::kFloat32, ta ? Shape{k, m} : Shape{m, k}},
                    {DataType::kFloat32, tb ? Shape{n, k} : Shape{k, n}}};
  return op_case;
}

TEST(MatmulTest, ValuesOfAllTransposes) {
  for (bool ta : {false, true}) {
    for (bool tb : {false, true}) {
      ExpectMatchesReference(Case(7, 13, 5, ta, tb), Reference);
      ExpectMatchesReference(Case(33, 65, 130, ta, tb), Reference);
      ExpectMatchesReference(Case(1, 1, 1, ta, tb), Reference);
    }
  }
}

// Only who says so gets rounded factors. Rounding errors have random signs: of
// 130 products they add up to a few of the largest.
TEST(MatmulTest, FactorsAreRoundedOnlyIfTheyMayBe) {
  OpCase op_case = Case(33, 65, 130, false, true);
  op_case.attributes.Set(kMayRound, true);
  op_case.tolerance = 0x1p-9;
  ExpectMatchesReference(op_case, Reference);
  const OpDef& def = *FindOp("matmul");
  for (const KernelLibrary* kernels : LibrariesToTest("matmul")) {
    SCOPED_TRACE(std::string(kernels->device_kind));
    const HostValue a = HostValue::Whole({DataType::kFloat32, {1, 1}});
    const HostValue b = HostValue::Whole({DataType::kFloat32, {1, 1}});
    a.as<float>()[0] = 1 + 0x1p-12f;
    b.as<float>()[0] = 3;
    const auto y = RunOp(def, {}, {a, b}, {a.slice()}, RunOptions(), *kernels);
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_EQ((*y)[0].as<float>()[0], 3 + 3 * 0x1p-12f);
  }
}

// A device's share may have no rows, columns or products.
TEST(MatmulTest, ValuesOfEmptyShares) {
  for (bool ta : {false, true}) {
    for (bool tb : {false, true}) {
      ExpectMatchesReference(Case(0, 13, 5, ta, tb), Reference);
      ExpectMatchesReference(Case(7, 0, 5, ta, tb), Reference);
      ExpectMatchesReference(Case(7, 13, 0, ta, tb), Reference);
    }
  }
}

TEST(MatmulTest, GradientsOfAllTransposes) {
  for (bool ta : {false, true}) {
    for (bool tb : {false, true}) {
      ExpectGradientMatches(Case(5, 4, 6, ta, tb), Reference);
    }
  }
}

TEST(MatmulTest, ShardableByRowsColumnsAndTheContractedDimension) {
  const OpDef& def = *FindOp("matmul");
  const OpCase op_case = Case(6, 8, 10, true, true);
  std::vector<TensorType> y;
  ASSERT_TRUE(def.infer({op_case.attributes, op_case.inputs, {}}, &y).ok());
  const std::vector<Signature> signatures =
      def.signatures({op_case.attributes, op_case.inputs, y}, 2);
  const std::vector<Signature> expected = {
      {{Sbp::B(), Sbp::B()}, {Sbp::B()}},
      {{Sbp::S(1), Sbp::B()}, {Sbp::S(0)}},
      {{Sbp::B(), Sbp::S(0)}, {Sbp::S(1)}},
      {{Sbp::S(0), Sbp::S(1)}, {Sbp::PSum()}}};
  EXPECT_TRUE(signatures == expected);
  EXPECT_EQ(LocalCost(def, {op_case.attributes, op_case.inputs, y}).flops,
            2 * 6 * 8 * 10);
}

TEST(MatmulTest, ErrorsSayWhatIsWrong) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  auto variable = [&](std::vector<int64_t> shape, std::string dtype) {
    return builder.Add1("variable", "v", {},
                        {{"shape", std::move(shape)}, {"dtype", dtype}});
  };
  const TensorId a = variable({3, 4}, "float32");
  const TensorId b = variable({5, 6}, "float32");
  const TensorId half = variable({4, 6}, "bfloat16");
  const auto mismatch = builder.Add("matmul", "fc", {a, b}).status();
  EXPECT_EQ(mismatch.message(),
            "fc: a has 4 columns but b has 5 rows (a is float32[3, 4], b is "
            "float32[5, 6]); check transpose_a and transpose_b");
  const auto dtypes = builder.Add("matmul", "fc", {a, half}).status();
  EXPECT_EQ(dtypes.message(),
            "fc: a is float32[3, 4] but b is bfloat16[4, 6]; both must have "
            "the same type: cast one");
}

}  // namespace
}  // namespace facet::ops
