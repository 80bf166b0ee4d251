// gather_rows_lazily: ops/sgd_update_rows/sgd_update_rows_test.cc.
#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/gradient.h"
#include "ops/graph/shard.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/given_op.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"
#include "ops/testing/rounded.h"

namespace facet::ops {
namespace {

// Calls body(entry, row) for the entries that are not padding.
template <typename Body>
void ForListed(const TensorType& rows_type, const Values& rows, int64_t c,
               const Body& body) {
  const int64_t groups = rows_type.shape[0], capacity = rows_type.shape[1];
  for (int64_t i = 0; i < groups * capacity; ++i) {
    if (rows[i] < 0) continue;
    body(i, ShardRange(c, groups, i / capacity).begin +
                static_cast<int64_t>(rows[i]));
  }
}

OpCase Case(int64_t c, int64_t d, int64_t groups, int64_t capacity) {
  OpCase op_case;
  op_case.op = "gather_rows";
  op_case.inputs = {{DataType::kFloat32, {c, d}},
                    {DataType::kInt32, {groups, capacity}}};
  op_case.domains = {{}, {0, static_cast<double>(c / groups), true}};
  return op_case;
}

TEST(GatherRowsTest, MatchesReference) {
  const Reference reference = [](const Attributes&,
                                 const std::vector<TensorType>& types,
                                 const std::vector<Values>& inputs) {
    const int64_t d = types[0].shape[1];
    Values y(types[1].shape.num_elements() * d, 0);
    ForListed(types[1], inputs[1], types[0].shape[0],
              [&](int64_t entry, int64_t row) {
                std::copy_n(inputs[0].begin() + row * d, d,
                            y.begin() + entry * d);
              });
    return std::vector<Values>{y};
  };
  ExpectMatchesReference(Case(5, 3, 2, 2), reference);
  ExpectMatchesReference(Case(1000, 512, 3, 200), reference);
  ExpectMatchesReference(Case(7, 1, 1, 7), reference);
}

// What is stored as bfloat16 comes out as the same float32 numbers.
void ExpectBFloat16RowsGathered(const KernelLibrary& kernels, int64_t columns) {
  const TensorType half = {DataType::kBFloat16, {30, columns}};
  const TensorType list_type = {DataType::kInt32, {2, 9}};
  const TensorType updated_type = {DataType::kInt32, {30}};
  const TensorType history_type = {DataType::kFloat32, {4, 6}};
  auto filled = [](const TensorType& type, const InputDomain& domain,
                   int64_t seed) {
    HostValue value = HostValue::Whole(type);
    value.FromDoubles(RandomValues(type, domain, seed));
    return value;
  };
  const HostValue w = filled(half, {}, 1), m = filled(half, {}, 2);
  const HostValue rows = filled(list_type, {0, 15, true}, 3);
  const HostValue updated = filled(updated_type, {1, 5}, 4);
  const HostValue history = filled(history_type, {0, 0.1}, 5);
  RunOptions options;
  options.step = 4;
  auto run = [&](absl::string_view op, DataType weight, DataType momentum) {
    std::vector<HostValue> inputs = {WithType(w, weight), rows};
    if (op == "gather_rows_lazily") {
      inputs.insert(inputs.end(), {WithType(m, momentum), updated, history});
    }
    const auto y =
        RunOp(*FindOp(op), {}, inputs,
              {HostValue::Whole({DataType::kFloat32, {18, columns}}).slice()},
              options, kernels);
    EXPECT_TRUE(y.ok()) << y.status();
    return y.ok() ? (*y)[0].ToDoubles() : Values();
  };
  for (const char* op : {"gather_rows", "gather_rows_lazily"}) {
    const DataType f32 = DataType::kFloat32, f16 = DataType::kBFloat16;
    const Values want = run(op, f32, f32);
    for (const auto& [weight, momentum] :
         {std::make_pair(f16, f16), {f16, f32}, {f32, f16}}) {
      const Values got = run(op, weight, momentum);
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], want[i], 1e-6) << op << " " << i;
      }
    }
  }
}

TEST(GatherRowsTest, GathersBFloat16Rows) {
  ExpectBFloat16RowsGathered(CpuKernels(), 21);
}

TEST(GatherRowsTest, GathersBFloat16RowsByCuda) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  ExpectBFloat16RowsGathered(CudaKernelsOnHost(), 21);
  ExpectBFloat16RowsGathered(CudaKernelsOnHost(), 140);
}

// What is larger than the caches is written in another way.
TEST(GatherRowsTest, CopiesManyRows) {
  constexpr int64_t kRows = 9000, kColumns = 1024, kListed = 8500;
  HostValue weight = HostValue::Whole({DataType::kFloat32, {kRows, kColumns}});
  for (int64_t i = 0; i < kRows * kColumns; ++i) {
    weight.as<float>()[i] = static_cast<float>(i % 65537);
  }
  HostValue rows = HostValue::Whole({DataType::kInt32, {1, kListed}});
  for (int64_t j = 0; j < kListed; ++j) {
    rows.as<int32_t>()[j] =
        j < 8400 ? static_cast<int32_t>(j + j / 20) : int32_t{-1};
  }
  const auto y = RunOp(
      *FindOp("gather_rows"), {}, {weight, rows},
      {HostValue::Whole({DataType::kFloat32, {kListed, kColumns}}).slice()},
      RunOptions(), CpuKernels());
  ASSERT_TRUE(y.ok()) << y.status();
  int64_t wrong = 0;
  for (int64_t j = 0; j < kListed; ++j) {
    const int64_t row = rows.as<int32_t>()[j];
    for (int64_t i = 0; i < kColumns; ++i) {
      const float want = row < 0 ? 0 : weight.as<float>()[row * kColumns + i];
      wrong += (*y)[0].as<float>()[j * kColumns + i] != want;
    }
  }
  EXPECT_EQ(wrong, 0);
}

// Lists of a matrix of 5 rows whose first entry alone is right: rows 0 to 2 are
// of the first group, 3 and 4 of the second.
std::vector<Values> WrongLists() {
  return {{0, 3, -2, 2}, {0, -2, 1e9, -1e9}, {0, 5, 2, 3}};
}

// Memory is not touched by what a list or a variable says wrongly.
TEST(GatherRowsTest, RowsThatAreNotThereAreErrors) {
  const HostValue weight = HostValue::Whole({DataType::kFloat32, {5, 8}});
  const TensorSlice y = HostValue::Whole({DataType::kFloat32, {4, 8}}).slice();
  HostValue rows = HostValue::Whole({DataType::kInt32, {2, 2}});
  for (const Values& list : WrongLists()) {
    for (int wrong : {1, 2, 3}) {
      Values one_wrong = {0, 1, 0, 1};
      one_wrong[wrong] = list[wrong];
      rows.FromDoubles(one_wrong);
      EXPECT_EQ(RunOp(*FindOp("gather_rows"), {}, {weight, rows}, {y},
                      RunOptions(), CpuKernels())
                    .status()
                    .code(),
                absl::StatusCode::kInternal)
          << list[wrong];
    }
  }
}

// The host does not see the list.
TEST(GatherRowsTest, RowsThatAreNotThereAreNaNByCuda) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  HostValue weight = HostValue::Whole({DataType::kFloat32, {5, 2}});
  weight.FromDoubles({1, 2, 10, 11, 20, 21, 30, 31, 40, 41});
  HostValue rows = HostValue::Whole({DataType::kInt32, {2, 2}});
  for (const Values& list : WrongLists()) {
    rows.FromDoubles(list);
    const auto y =
        RunOp(*FindOp("gather_rows"), {}, {weight, rows},
              {HostValue::Whole({DataType::kFloat32, {4, 2}}).slice()},
              RunOptions(), CudaKernelsOnHost());
    ASSERT_TRUE(y.ok()) << y.status();
    const Values got = (*y)[0].ToDoubles();
    EXPECT_EQ(Values(got.begin(), got.begin() + 2), (Values{1, 2}));
    for (int i = 2; i < 8; ++i) EXPECT_TRUE(std::isnan(got[i])) << i;
  }
}

TEST(GatherRowsTest, StepsThatNeverWereAreErrors) {
  constexpr int64_t kSteps = 16;
  auto zeros = [](const Shape& shape) {
    HostValue value = HostValue::Whole({DataType::kFloat32, shape});
    value.FromDoubles(Values(shape.num_elements(), 0));
    return value;
  };
  const HostValue weight = zeros({5, 8}), momentum = zeros({5, 8});
  const HostValue history = zeros({4, kSteps});
  HostValue rows = HostValue::Whole({DataType::kInt32, {1, 1}});
  rows.FromDoubles({3});
  HostValue updated = HostValue::Whole({DataType::kInt32, {5}});
  RunOptions options;
  options.step = 10;
  auto gather = [&](double since, const KernelLibrary& kernels) {
    updated.FromDoubles({10, 10, 10, since, 10});
    return RunOp(*FindOp("gather_rows_lazily"), {},
                 {weight, rows, momentum, updated, history},
                 {HostValue::Whole({DataType::kFloat32, {1, 8}}).slice()},
                 options, kernels);
  };
  auto code = [&](double since) {
    return gather(since, CpuKernels()).status().code();
  };
  EXPECT_EQ(code(10), absl::StatusCode::kOk);
  EXPECT_EQ(code(0), absl::StatusCode::kOk);
  for (double since : {11.0, -1.0, -5.0, -1e9}) {
    EXPECT_EQ(code(since), absl::StatusCode::kInvalidArgument) << since;
  }
  // A GPU cannot say so.
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  for (double since : {10.0, 0.0, 11.0, -1.0, -5.0, -1e9}) {
    const auto y = gather(since, CudaKernelsOnHost());
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_EQ(std::isnan((*y)[0].ToDoubles()[7]), since < 0 || since > 10)
        << since;
  }
}

TEST(GatherRowsTest, TheGradientIsOfTheListedRows) {
  Graph graph;
  GraphBuilder builder(&graph, FindOpOrGiven);
  const TensorId weight =
      AddGiven(&builder, "weight", {DataType::kFloat32, {5, 3}});
  const TensorId rows = AddGiven(&builder, "rows", {DataType::kInt32, {2, 2}});
  const TensorId y = builder.Add1("gather_rows", "y", {weight, rows});
  ASSERT_TRUE(builder.status().ok()) << builder.status();
  const TensorId dy = AddGiven(&builder, "dy", builder.type(y));
  GradientContext context(&builder, graph.tensors[y].producer, {dy});
  ASSERT_TRUE(FindOp("gather_rows")->gradient(&context).ok());
  const GradientContext::RowGradient* gradient = context.input_row_gradient(0);
  ASSERT_NE(gradient, nullptr);
  EXPECT_EQ(gradient->rows, rows);
  EXPECT_EQ(gradient->gradient, dy);
  EXPECT_EQ(context.input_gradient(1), kNone);
  EXPECT_NE(FindOp(gradient->lazy_op), nullptr);
}

}  // namespace
}  // namespace facet::ops
