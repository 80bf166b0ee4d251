#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/softmax_cross_entropy/exp.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Values RowMax(const TensorType& type, const Values& x) {
  Values max(type.shape[0], -kInfinity);
  for (size_t i = 0; i < x.size(); ++i) {
    double& row = max[i / type.shape[1]];
    row = std::max(row, x[i]);
  }
  return max;
}

Values RowSumExp(const TensorType& type, const Values& x, const Values& max) {
  Values sum(type.shape[0]);
  for (size_t i = 0; i < x.size(); ++i) {
    const int64_t row = i / type.shape[1];
    sum[row] += std::exp(x[i] - max[row]);
  }
  return sum;
}

std::vector<Values> MeanLoss(const Attributes&,
                             const std::vector<TensorType>& types,
                             const std::vector<Values>& inputs) {
  const int64_t rows = types[0].shape[0], columns = types[0].shape[1];
  double loss = 0;
  for (int64_t i = 0; i < rows; ++i) {
    loss += std::log(inputs[2][i]) + inputs[1][i] -
            inputs[0][i * columns + static_cast<int64_t>(inputs[3][i])];
  }
  return {{loss / static_cast<double>(rows)}};
}

OpCase Case(const char* op, int64_t rows, int64_t columns, int num_inputs,
            double size) {
  const DataType f32 = DataType::kFloat32;
  const std::vector<TensorType> types = {{f32, {rows, columns}},
                                         {f32, {rows}},
                                         {f32, {rows}},
                                         {DataType::kInt32, {rows}},
                                         {f32, {}}};
  const std::vector<InputDomain> domains = {
      {-size, size}, {}, {}, {0, static_cast<double>(columns)}, {1, 2}};
  OpCase op_case;
  op_case.op = op;
  op_case.inputs.assign(types.begin(), types.begin() + num_inputs);
  op_case.domains.assign(domains.begin(), domains.begin() + num_inputs);
  op_case.derive_inputs = [type = types[0]](std::vector<Values>* inputs) {
    if (inputs->size() > 1) (*inputs)[1] = RowMax(type, (*inputs)[0]);
    if (inputs->size() > 2) {
      (*inputs)[2] = RowSumExp(type, (*inputs)[0], (*inputs)[1]);
    }
  };
  return op_case;
}

TEST(ExpTest, OneUlpOrSoAndAllSpecialValues) {
  double worst = 0;
  for (float x = -87.3f; x < 88.3f; x += 0.00173f) {
    const double want = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(Exp(x) - want) / want);
  }
  EXPECT_LT(worst, 1.5e-7);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Exp(0.0f), 1);
  EXPECT_EQ(Exp(-infinity), 0);
  EXPECT_EQ(Exp(-88.0f), 0);
  EXPECT_EQ(Exp(-1e30f), 0);
  EXPECT_EQ(Exp(infinity), infinity);
  EXPECT_TRUE(std::isnan(Exp(std::nanf(""))));
}

TEST(RowMaxTest, Values) {
  const Reference reference = [](const Attributes&, const auto& types,
                                 const auto& inputs) {
    return std::vector<Values>{RowMax(types[0], inputs[0])};
  };
  for (int64_t columns : {1, 13, 8192, 20001}) {
    OpCase op_case = Case("row_max", 5, columns, 1, 9);
    ExpectMatchesReference(op_case, reference);
    op_case.domains[0] = {-9, -8};
    ExpectMatchesReference(op_case, reference);
  }
}

TEST(RowSumExpTest, Values) {
  const Reference reference = [](const Attributes&, const auto& types,
                                 const auto& inputs) {
    return std::vector<Values>{RowSumExp(types[0], inputs[0], inputs[1])};
  };
  for (int64_t columns : {1, 13, 8192, 20001}) {
    OpCase op_case = Case("row_sum_exp", 5, columns, 2, 64);
    op_case.tolerance = 1e-6;
    ExpectMatchesReference(op_case, reference);
  }
}

TEST(SoftmaxCrossEntropyTest, Values) {
  ExpectMatchesReference(Case("softmax_cross_entropy", 7, 13, 4, 20), MeanLoss);
  ExpectMatchesReference(Case("softmax_cross_entropy", 3, 9000, 4, 20),
                         MeanLoss);
}

// By the logits, with the paths through the statistics.
TEST(SoftmaxCrossEntropyTest, Gradient) {
  ExpectGradientMatches(Case("softmax_cross_entropy", 5, 13, 4, 4), MeanLoss,
                        {0});
}

TEST(SoftmaxCrossEntropyGradTest, Values) {
  const Reference reference = [](const Attributes&, const auto& types,
                                 const auto& inputs) {
    const int64_t rows = types[0].shape[0], columns = types[0].shape[1];
    Values dx = inputs[0];
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        double& value = dx[i * columns + j];
        value = std::exp(value - inputs[1][i]) / inputs[2][i];
        if (j == static_cast<int64_t>(inputs[3][i])) value -= 1;
        value *= inputs[4][0] / static_cast<double>(rows);
      }
    }
    return std::vector<Values>{dx};
  };
  for (int64_t columns : {1, 13, 20001}) {
    ExpectMatchesReference(
        Case("softmax_cross_entropy_grad", 5, columns, 5, 30), reference);
  }
}

class Specials : public testing::Test {
 protected:
  // Rows of one column block and more: what comes before must not hide them.
  double SumExp(Values row, double max) {
    HostValue x = HostValue::Whole(
        {DataType::kFloat32, {1, static_cast<int64_t>(row.size())}});
    x.FromDoubles(row);
    HostValue maximum = HostValue::Whole({DataType::kFloat32, {1}});
    maximum.FromDoubles({max});
    auto sum = RunOp(*FindOp("row_sum_exp"), {}, {x, maximum},
                     {maximum.slice()}, RunOptions(), CpuKernels());
    CHECK(sum.ok()) << sum.status();
    return (*sum)[0].ToDoubles()[0];
  }
};

// A device whose share of a row is all -inf, while another one's is not.
TEST_F(Specials, MinusInfinityAddsNothing) {
  EXPECT_EQ(SumExp(Values(20, -kInfinity), 3), 0);
  Values row(20, -kInfinity);
  row[7] = 3;
  EXPECT_EQ(SumExp(row, 3), 1);
}

TEST_F(Specials, NonFiniteLogitsShow) {
  for (double value : {kInfinity, std::nan("")}) {
    for (size_t place : {0, 5, 19, 9000}) {
      Values row(9001, 0.0);
      row[place] = value;
      EXPECT_FALSE(std::isfinite(SumExp(row, 0))) << value << " at " << place;
    }
  }
  // No device has anything: there is no softmax.
  EXPECT_TRUE(std::isnan(SumExp(Values(20, -kInfinity), -kInfinity)));
}

// The same bits for one thread and several, and in place.
TEST(SoftmaxCrossEntropyGradTest, IndependentOfThreads) {
  const OpCase op_case = Case("softmax_cross_entropy_grad", 3, 50001, 5, 10);
  std::vector<Values> values;
  std::vector<HostValue> inputs;
  for (size_t i = 0; i < 5; ++i) {
    values.push_back(RandomValues(op_case.inputs[i], op_case.domains[i], i));
  }
  op_case.derive_inputs(&values);
  for (size_t i = 0; i < 5; ++i) {
    inputs.push_back(HostValue::Whole(op_case.inputs[i]));
    inputs.back().FromDoubles(values[i]);
  }
  const int threads = omp_get_max_threads();
  auto run = [&](const char* op, size_t num_inputs, const TensorSlice& output,
                 int num_threads) {
    omp_set_num_threads(num_threads);
    auto result =
        RunOp(*FindOp(op), {}, {inputs.begin(), inputs.begin() + num_inputs},
              {output}, RunOptions(), CpuKernels());
    omp_set_num_threads(threads);
    CHECK(result.ok()) << result.status();
    return (*result)[0].ToDoubles();
  };
  for (int num_threads : {2, 3}) {
    EXPECT_EQ(run("row_max", 1, inputs[1].slice(), 1),
              run("row_max", 1, inputs[1].slice(), num_threads));
    EXPECT_EQ(run("row_sum_exp", 2, inputs[1].slice(), 1),
              run("row_sum_exp", 2, inputs[1].slice(), num_threads));
    EXPECT_EQ(
        run("softmax_cross_entropy_grad", 5, inputs[0].slice(), 1),
        run("softmax_cross_entropy_grad", 5, inputs[0].slice(), num_threads));
  }
  const Values apart =
      run("softmax_cross_entropy_grad", 5, inputs[0].slice(), 1);
  RunOptions options;
  options.in_place = {{0, 0}};
  auto in_place = RunOp(*FindOp("softmax_cross_entropy_grad"), {}, inputs,
                        {inputs[0].slice()}, options, CpuKernels());
  ASSERT_TRUE(in_place.ok()) << in_place.status();
  EXPECT_EQ((*in_place)[0].ToDoubles(), apart);
}

TEST(SoftmaxCrossEntropyTest, RefusesLabelsThatAreNoClass) {
  const OpCase op_case = Case("softmax_cross_entropy", 2, 5, 4, 1);
  std::vector<HostValue> inputs;
  for (size_t i = 0; i < 4; ++i) {
    inputs.push_back(HostValue::Whole(op_case.inputs[i]));
    inputs[i].FromDoubles(Values(inputs[i].slice().num_elements(), 1));
  }
  inputs[3].FromDoubles({4, 5});
  const auto loss = RunOp(*FindOp("softmax_cross_entropy"), {}, inputs,
                          {HostValue::Whole({DataType::kFloat32, {}}).slice()},
                          RunOptions(), CpuKernels());
  EXPECT_EQ(loss.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(loss.status().message())
                .find("label 5 of row 1 is not in [0, 5)"),
            std::string::npos)
      << loss.status();
}

}  // namespace
}  // namespace facet::ops
