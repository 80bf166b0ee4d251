#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/cuda_kernels.h"
#include "ops/graph_builder.h"
#include "ops/matmul/reference.h"
#include "ops/may_round_attribute.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

constexpr auto& Reference = matmul_reference::Product;

OpCase Case(int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
  OpCase op_case;
  op_case.op = "matmul";
  op_case.attributes = {{"transpose_a", ta},
                        {"transpose_b", tb},
                        {"algorithm", std::string("auto")}};
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

TEST(MatmulTest, ValuesOfAllAlgorithms) {
  for (bool ta : {false, true}) {
    for (bool tb : {false, true}) {
      OpCase op_case = Case(40, 64, 136, ta, tb);
      op_case.every_alternative = true;
      ExpectMatchesReference(op_case, Reference);
    }
  }
}

TEST(MatmulTest, OnCudaTheLibrariesAreTheAlternatives) {
  auto algorithms = [](int64_t m, const std::string& algorithm) {
    KernelSpec spec;
    spec.attributes = {{"transpose_a", false},
                       {"transpose_b", false},
                       {"algorithm", algorithm},
                       {kMayRound, false}};
    const DataType f32 = DataType::kFloat32;
    spec.inputs = {HostValue::Whole({f32, {m, 5}}).slice(),
                   HostValue::Whole({f32, {5, 7}}).slice()};
    spec.outputs = {HostValue::Whole({f32, {m, 7}}).slice()};
    std::vector<std::string> all;
    for (const Attributes& one :
         CudaKernels().find("matmul")->alternatives(spec)) {
      all.push_back(one.String("algorithm"));
    }
    return all;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(algorithms(6, "auto"), (Names{"cublas", "cublaslt:0", "cublaslt:1",
                                          "cublaslt:2", "cublaslt:3"}));
  EXPECT_EQ(algorithms(6, "cublaslt:2"), Names{"cublaslt:2"});
  // Nothing to multiply.
  EXPECT_EQ(algorithms(0, "auto"), Names{"cublas"});
}

TEST(MatmulTest, AlgorithmsAreChecked) {
  KernelSpec spec;
  spec.attributes = {{"algorithm", std::string("cublas")}};
  EXPECT_EQ(CpuKernels().find("matmul")->create(spec).status(),
            absl::UnimplementedError("algorithm \"cublas\" is for CUDA "
                                     "devices; on a CPU use \"auto\""));
  const OpCase op_case = Case(3, 4, 5, false, false);
  Attributes attributes = op_case.attributes;
  for (const char* algorithm :
       {"fast", "cublaslt:", "cublaslt:-1", "cublaslt:01"}) {
    attributes.Set("algorithm", std::string(algorithm));
    std::vector<TensorType> y;
    EXPECT_EQ(FindOp("matmul")->infer({attributes, op_case.inputs, {}}, &y),
              absl::InvalidArgumentError(absl::StrCat(
                  "algorithm is \"", algorithm,
                  "\"; expected \"auto\", \"cublas\" or \"cublaslt:N\" with "
                  "N from 0")));
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
