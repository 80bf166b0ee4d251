#include <omp.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/may_round_attribute.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"
#include "ops/testing/rounded.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;

// w with rows of length 1.
Values Normalized(const TensorType& type, Values w, double eps) {
  const int64_t columns = type.shape[1];
  for (int64_t j = 0; j < type.shape[0]; ++j) {
    double square = 0;
    for (int64_t l = 0; l < columns; ++l) {
      square += w[j * columns + l] * w[j * columns + l];
    }
    const double norm = std::max(std::sqrt(square), eps);
    for (int64_t l = 0; l < columns; ++l) w[j * columns + l] /= norm;
  }
  return w;
}

std::vector<Values> Cosines(const Attributes& attributes,
                            const std::vector<TensorType>& types,
                            const std::vector<Values>& inputs) {
  const int64_t n = types[0].shape[0], d = types[0].shape[1];
  const int64_t c = types[1].shape[0];
  const Values wn = Normalized(types[1], inputs[1], attributes.Float("eps"));
  Values y(n * c);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      for (int64_t l = 0; l < d; ++l) {
        y[i * c + j] += inputs[0][i * d + l] * wn[j * d + l];
      }
    }
  }
  return {y};
}

std::vector<Values> GradInput(const Attributes& attributes,
                              const std::vector<TensorType>& types,
                              const std::vector<Values>& inputs) {
  const int64_t n = types[0].shape[0], c = types[0].shape[1];
  const int64_t d = types[1].shape[1];
  const Values wn = Normalized(types[1], inputs[1], attributes.Float("eps"));
  Values dx(n * d);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      for (int64_t l = 0; l < d; ++l) {
        dx[i * d + l] += inputs[0][i * c + j] * wn[j * d + l];
      }
    }
  }
  return {dx};
}

// (w, momentum, x, dy, learning_rate, [gradient_scale], [skip])
std::vector<Values> Sgd(const Attributes& attributes,
                        const std::vector<TensorType>& types,
                        const std::vector<Values>& inputs) {
  Values w = inputs[0], m = inputs[1];
  if (inputs.size() > 6 && inputs[6][0] != 0) return {w, m};
  const int64_t c = types[0].shape[0], d = types[0].shape[1];
  const int64_t n = types[2].shape[0];
  const double eps = attributes.Float("eps");
  const Values wn = Normalized(types[0], w, eps);
  const double scale = inputs.size() > 5 ? inputs[5][0] : 1;
  for (int64_t j = 0; j < c; ++j) {
    Values product(d);
    double square = 0, along = 0;
    for (int64_t l = 0; l < d; ++l) {
      for (int64_t i = 0; i < n; ++i) {
        product[l] += inputs[3][i * c + j] * inputs[2][i * d + l];
      }
      square += w[j * d + l] * w[j * d + l];
      along += wn[j * d + l] * product[l];
    }
    const double norm = std::sqrt(square);
    for (int64_t l = 0; l < d; ++l) {
      const int64_t e = j * d + l;
      const double dw =
          norm > eps ? (product[l] - wn[e] * along) / norm : product[l] / eps;
      m[e] = attributes.Float("momentum") * m[e] + dw * scale +
             attributes.Float("weight_decay") * w[e];
      w[e] -= inputs[4][0] * m[e];
    }
  }
  return {w, m};
}

OpCase ForwardCase(int64_t n, int64_t c, int64_t d,
                   DataType stored = kFloat32) {
  OpCase op_case;
  op_case.op = "cosine_linear";
  op_case.inputs = {{kFloat32, {n, d}}, {stored, {c, d}}};
  return op_case;
}

OpCase GradInputCase(int64_t n, int64_t c, int64_t d,
                     DataType stored = kFloat32) {
  OpCase op_case;
  op_case.op = "cosine_linear_grad_input";
  op_case.inputs = {{kFloat32, {n, c}}, {stored, {c, d}}};
  return op_case;
}

OpCase SgdCase(int64_t n, int64_t c, int64_t d, int num_scalars) {
  OpCase op_case;
  op_case.op = "cosine_linear_sgd";
  op_case.attributes = {{"momentum", 0.9}, {"weight_decay", 0.01}};
  op_case.inputs = {{kFloat32, {c, d}},
                    {kFloat32, {c, d}},
                    {kFloat32, {n, d}},
                    {kFloat32, {n, c}}};
  op_case.domains.assign(4, InputDomain());
  const InputDomain domains[] = {{0.1, 0.2}, {0.5, 1}, {0, 0}};
  for (int i = 0; i < num_scalars; ++i) {
    op_case.inputs.push_back({kFloat32, {}});
    op_case.domains.push_back(domains[i]);
  }
  return op_case;
}

// Less than a tile, uneven tiles, tiles of few rows, several chunks of sums.
struct Dims {
  int64_t n, c, d;
};
constexpr Dims kDims[] = {
    {7, 13, 5}, {16, 300, 512}, {3, 5001, 16}, {5, 50, 4100}, {1, 1, 1}};

TEST(CosineLinearTest, Values) {
  for (const auto& [n, c, d] : kDims) {
    ExpectMatchesReference(ForwardCase(n, c, d), Cosines);
    ExpectMatchesReference(ForwardCase(n, c, d, DataType::kBFloat16), Cosines);
  }
}

// Two tiles of the CUDA kernels, the second with fewer classes.
constexpr Dims kLarge = {2, 121, 70000};

TEST(CosineLinearTest, LargeTiles) {
  const auto& [n, c, d] = kLarge;
  ExpectMatchesReference(ForwardCase(n, c, d), Cosines);
  ExpectMatchesReference(GradInputCase(n, c, d), GradInput);
  ExpectMatchesReference(SgdCase(n, c, d, 1), Sgd);
}

// Rows that the lanes of a warp have in registers on a CUDA device.
TEST(CosineLinearTest, ValuesOfRowsInRegisters) {
  for (int64_t d : {128, 256, 512}) {
    ExpectMatchesReference(ForwardCase(5, 40, d), Cosines);
    ExpectMatchesReference(SgdCase(5, 40, d, 3), Sgd);
  }
}

// Rounding errors have random signs: of 512 products they add up to a few of
// the largest.
TEST(CosineLinearTest, ValuesOfRoundedFactors) {
  for (auto& [op_case, reference] : std::vector<std::pair<OpCase, Reference>>{
           {ForwardCase(16, 300, 512), Cosines},
           {GradInputCase(16, 300, 512), GradInput},
           {SgdCase(16, 300, 512, 1), Sgd}}) {
    op_case.attributes.Set(kMayRound, true);
    op_case.tolerance = 0x1p-9;
    ExpectMatchesReference(op_case, reference);
  }
}

TEST(CosineLinearTest, Gradient) {
  ExpectGradientMatches(ForwardCase(4, 9, 6), Cosines);
}

TEST(CosineLinearGradInputTest, Values) {
  for (const auto& [n, c, d] : kDims) {
    ExpectMatchesReference(GradInputCase(n, c, d), GradInput);
    ExpectMatchesReference(GradInputCase(n, c, d, DataType::kBFloat16),
                           GradInput);
  }
}

TEST(CosineLinearSgdTest, Values) {
  for (const auto& [n, c, d] : kDims) {
    OpCase op_case = SgdCase(n, c, d, 1);
    // With D = 1 a row's direction is its sign: the gradient is 0.
    if (d == 1) op_case.tolerance = 1e-4;
    ExpectMatchesReference(op_case, Sgd);
  }
  ExpectMatchesReference(SgdCase(7, 13, 5, 2), Sgd);
  ExpectMatchesReference(SgdCase(7, 13, 5, 3), Sgd);
}

// Rows shorter than eps are divided by eps.
TEST(CosineLinearSgdTest, ValuesWhereEpsTakesOver) {
  OpCase op_case = SgdCase(7, 13, 5, 1);
  op_case.attributes.Set("eps", 10.0);
  ExpectMatchesReference(op_case, Sgd);
}

std::vector<HostValue> Inputs(const OpCase& op_case) {
  std::vector<HostValue> inputs;
  for (size_t i = 0; i < op_case.inputs.size(); ++i) {
    inputs.push_back(HostValue::Whole(op_case.inputs[i]));
    inputs[i].FromDoubles(RandomValues(
        op_case.inputs[i],
        i < op_case.domains.size() ? op_case.domains[i] : InputDomain(), i));
  }
  return inputs;
}

TEST(CosineLinearSgdTest, SkipChangesNothing) {
  for (const KernelLibrary* kernels : LibrariesToTest("cosine_linear_sgd")) {
    SCOPED_TRACE(std::string(kernels->device_kind));
    const std::vector<HostValue> inputs = Inputs(SgdCase(7, 13, 5, 3));
    inputs[6].as<float>()[0] = 1;
    inputs[3].as<float>()[0] = std::nanf("");
    const Values w = inputs[0].ToDoubles(), m = inputs[1].ToDoubles();
    const auto status = RunOp(*FindOp("cosine_linear_sgd"), {}, inputs, {},
                              RunOptions(), *kernels)
                            .status();
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(inputs[0].ToDoubles(), w);
    EXPECT_EQ(inputs[1].ToDoubles(), m);
  }
}

void ExpectBFloat16StateRounded(const KernelLibrary& kernels) {
  const int64_t key = 77;
  RunOptions options;
  options.seed = 9;
  options.step = 5;
  const RandomStream stream = {9, 77, 5};
  for (const auto& [n, c, d] : kDims) {
    if (d == 1) continue;  // See above.
    auto run = [&](const std::vector<HostValue>& inputs) {
      return RunOp(*FindOp("cosine_linear_sgd"), {{"key", key}}, inputs, {},
                   options, kernels)
          .status();
    };
    std::vector<HostValue> exact = Inputs(SgdCase(n, c, d, 1));
    for (int i : {0, 1}) {
      exact[i] = WithType(WithType(exact[i], DataType::kBFloat16), kFloat32);
    }
    std::vector<std::vector<HostValue>> stored;
    for (DataType weight : {kFloat32, DataType::kBFloat16}) {
      for (DataType momentum : {kFloat32, DataType::kBFloat16}) {
        stored.push_back(exact);
        stored.back()[0] = WithType(exact[0], weight);
        stored.back()[1] = WithType(exact[1], momentum);
      }
    }
    ASSERT_TRUE(run(exact).ok());
    for (const std::vector<HostValue>& inputs : stored) {
      ASSERT_TRUE(run(inputs).ok());
      ExpectRounded(inputs[0], exact[0], stream, StateKind::kWeight);
      ExpectRounded(inputs[1], exact[1], stream, StateKind::kMomentum);
    }
  }
}

TEST(CosineLinearSgdTest, BFloat16StateIsTheFloat32StepRounded) {
  for (const KernelLibrary* kernels : LibrariesToTest("cosine_linear_sgd")) {
    SCOPED_TRACE(std::string(kernels->device_kind));
    ExpectBFloat16StateRounded(*kernels);
  }
}

// All of them, or, of CUDA, nearly all: cuBLAS may add up the products of a
// smaller matrix in another order.
void ExpectSameBits(const Values& got, const Values& want,
                    const KernelLibrary& kernels) {
  ASSERT_EQ(got.size(), want.size());
  size_t others = 0;
  for (size_t i = 0; i < got.size(); ++i) others += got[i] != want[i];
  EXPECT_LE(others, kernels.device_kind == "cuda" ? got.size() / 100 : 0);
}

void ExpectSharesHaveTheBitsOfTheWhole(const KernelLibrary& kernels) {
  OpCase op_case = SgdCase(6, 301, 40, 1);
  op_case.inputs[0].dtype = op_case.inputs[1].dtype = DataType::kBFloat16;
  const Sbp sbp[] = {Sbp::S(0), Sbp::S(0), Sbp::B(), Sbp::S(1), Sbp::B()};
  auto run = [&](const std::vector<HostValue>& inputs) {
    const auto status =
        RunOp(*FindOp(op_case.op), {}, inputs, {}, RunOptions(), kernels)
            .status();
    ASSERT_TRUE(status.ok()) << status;
  };
  const std::vector<HostValue> whole = Inputs(op_case);
  run(whole);
  for (int k : {2, 3}) {
    std::vector<HostValue> weights, momenta;
    for (int rank = 0; rank < k; ++rank) {
      std::vector<HostValue> inputs = Inputs(op_case);
      for (size_t i = 0; i < inputs.size(); ++i) {
        inputs[i] = TakeShare(inputs[i], sbp[i], k, rank);
      }
      run(inputs);
      weights.push_back(inputs[0]);
      momenta.push_back(inputs[1]);
    }
    ExpectSameBits(JoinShares(weights, Sbp::S(0))->ToDoubles(),
                   whole[0].ToDoubles(), kernels);
    ExpectSameBits(JoinShares(momenta, Sbp::S(0))->ToDoubles(),
                   whole[1].ToDoubles(), kernels);
  }
}

// Whatever the devices, each class is rounded as the class it is.
TEST(CosineLinearSgdTest, SharesOfBFloat16StateHaveTheBitsOfTheWhole) {
  for (const KernelLibrary* kernels : LibrariesToTest("cosine_linear_sgd")) {
    SCOPED_TRACE(std::string(kernels->device_kind));
    ExpectSharesHaveTheBitsOfTheWhole(*kernels);
  }
}

// The same bits for one thread and several.
TEST(CosineLinearTest, IndependentOfThreads) {
  auto run = [](const OpCase& op_case, const Shape& output, int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(std::min(threads, omp_get_thread_limit()));
    const std::vector<HostValue> inputs = Inputs(op_case);
    std::vector<TensorSlice> outputs;
    if (output.rank() > 0) {
      outputs.push_back(HostValue::Whole({kFloat32, output}).slice());
    }
    auto result = RunOp(*FindOp(op_case.op), op_case.attributes, inputs,
                        outputs, RunOptions(), CpuKernels());
    omp_set_num_threads(before);
    CHECK(result.ok()) << result.status();
    // Of the update: the weights.
    return outputs.empty() ? inputs[0].ToDoubles() : (*result)[0].ToDoubles();
  };
  const int64_t n = 5, c = 3001, d = 64;
  for (int threads : {2, 3}) {
    for (DataType stored : {kFloat32, DataType::kBFloat16}) {
      EXPECT_EQ(run(ForwardCase(n, c, d, stored), {n, c}, 1),
                run(ForwardCase(n, c, d, stored), {n, c}, threads));
      EXPECT_EQ(run(GradInputCase(n, c, d, stored), {n, d}, 1),
                run(GradInputCase(n, c, d, stored), {n, d}, threads));
      OpCase sgd = SgdCase(n, c, d, 1);
      sgd.inputs[0].dtype = sgd.inputs[1].dtype = stored;
      EXPECT_EQ(run(sgd, {}, 1), run(sgd, {}, threads));
    }
  }
}

TEST(CosineLinearTest, ErrorsSayWhatIsWrong) {
  std::vector<TensorType> outputs;
  const Attributes attributes = {{"eps", 1e-12}};
  OpCase op_case = ForwardCase(7, 13, 5);
  op_case.inputs[1].shape = {13, 6};
  EXPECT_EQ(FindOp("cosine_linear")
                ->infer({attributes, op_case.inputs, {}}, &outputs)
                .message(),
            "x is float32[7, 5] but w is float32[13, 6]; both must have the "
            "same number of columns, D");
  op_case = GradInputCase(7, 13, 5);
  op_case.inputs[0].shape = {7, 12};
  EXPECT_EQ(FindOp("cosine_linear_grad_input")
                ->infer({attributes, op_case.inputs, {}}, &outputs)
                .message(),
            "dy is float32[7, 12] but w is float32[13, 5]; dy must have as "
            "many columns as w has rows, C");
}

}  // namespace
}  // namespace facet::ops
