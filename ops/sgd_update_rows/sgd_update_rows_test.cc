#include <algorithm>
#include <array>
#include <cmath>

#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph/shard.h"
#include "ops/op_table.h"
#include "ops/sgd_update_rows/decay_history.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"
#include "ops/testing/rounded.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;

HostValue Filled(const TensorType& type, const Values& values) {
  HostValue value = HostValue::Whole(type);
  value.FromDoubles(values);
  return value;
}

HostValue Scalar(double value) { return Filled({kFloat32, {}}, {value}); }

TEST(SgdUpdateRowsTest, UpdatesTheListedRowsAlone) {
  const Reference reference = [](const Attributes& attributes,
                                 const std::vector<TensorType>& types,
                                 const std::vector<Values>& inputs) {
    Values w = inputs[0], m = inputs[1];
    const int64_t d = types[0].shape[1];
    const int64_t groups = types[2].shape[0], capacity = types[2].shape[1];
    for (int64_t e = 0; e < groups * capacity; ++e) {
      if (inputs[2][e] < 0) continue;
      const int64_t row =
          ShardRange(types[0].shape[0], groups, e / capacity).begin +
          static_cast<int64_t>(inputs[2][e]);
      for (int64_t i = 0; i < d; ++i) {
        double& weight = w[row * d + i];
        double& momentum = m[row * d + i];
        momentum = attributes.Float("momentum") * momentum +
                   inputs[3][e * d + i] * inputs[5][0] +
                   attributes.Float("weight_decay") * weight;
        weight -= inputs[4][0] * momentum;
      }
    }
    return std::vector<Values>{w, m};
  };
  for (const auto& [c, d, groups, capacity] :
       {std::array<int64_t, 4>{13, 9, 2, 5},
        {500, 130, 3, 100},
        {50, 132, 2, 20},
        {4, 1, 1, 4}}) {
    OpCase op_case;
    op_case.op = "sgd_update_rows";
    op_case.inputs = {{kFloat32, {c, d}},
                      {kFloat32, {c, d}},
                      {DataType::kInt32, {groups, capacity}},
                      {kFloat32, {groups * capacity, d}},
                      {kFloat32, {}},
                      {kFloat32, {}}};
    op_case.domains.resize(6);
    op_case.domains[2] = {0, static_cast<double>(c / groups), true};
    ExpectMatchesReference(op_case, reference);
  }
}

// A weight all of whose rows take every step, in float64, beside the same with
// lazily updated rows.
class LazyRows {
 public:
  LazyRows(int64_t history_steps, double weight_decay,
           DataType stored = kFloat32, int64_t seed = 0,
           const KernelLibrary& kernels = CpuKernels())
      : kernels_(kernels),
        weight_decay_(weight_decay),
        seed_(seed),
        weight_(WithType(Filled(type(), RandomValues(type(), {}, 1)), stored)),
        momentum_(
            WithType(Filled(type(), RandomValues(type(), {}, 2)), stored)),
        updated_(Filled({DataType::kInt32, {kRows}}, Values(kRows, 0))),
        history_(Filled({kFloat32, {4, history_steps}},
                        Values(4 * history_steps, 0))),
        w_(weight_.ToDoubles()),
        m_(momentum_.ToDoubles()) {}

  // One step with a random list of rows; `rate` of them.
  void Step(double rate, double learning_rate, bool skip) {
    Values list, all(kRows);
    const Values chance = RandomValues({kFloat32, {kRows}}, {0, 1}, 10 + step_);
    for (int64_t g = 0; g < kGroups; ++g) {
      const Range group = ShardRange(kRows, kGroups, g);
      for (int64_t row = group.begin; row < group.end; ++row) {
        if (row < kNever && chance[row] < rate)
          list.push_back(row - group.begin);
      }
      list.resize((g + 1) * kCapacity, -1);
    }
    const HostValue rows =
        Filled({DataType::kInt32, {kGroups, kCapacity}}, list);
    const TensorType listed = {kFloat32, {kGroups * kCapacity, kColumns}};
    const HostValue gradient =
        Filled(listed, RandomValues(listed, {}, 1000 + step_));
    if (weight_.slice().dtype == kFloat32) ExpectGathered(rows, list);

    const Attributes attributes = {{"momentum", kMomentum},
                                   {"weight_decay", weight_decay_}};
    Run("sgd_update_rows_lazily", attributes,
        {weight_, momentum_, updated_, history_, rows, gradient,
         Scalar(learning_rate), Scalar(kScale), Scalar(skip)});
    Run("decay_history_update", attributes,
        {history_, Scalar(learning_rate), Scalar(skip)});
    if (!skip) StepAll(list, gradient.ToDoubles(), learning_rate);
    ++step_;
  }

  // Every row, whenever it was last listed.
  void ExpectCaughtUp(double tolerance) {
    Run("catch_up_rows", {}, {weight_, momentum_, updated_, history_});
    const Values w = weight_.ToDoubles(), m = momentum_.ToDoubles();
    for (int64_t i = 0; i < kRows * kColumns; ++i) {
      ASSERT_NEAR(w[i], w_[i], tolerance * Scale(i, w_)) << "step " << step_;
      ASSERT_NEAR(m[i], m_[i], tolerance * Scale(i, m_)) << "step " << step_;
    }
    EXPECT_EQ(updated_.ToDoubles(), Values(kRows, step_));
  }

  // Of bfloat16 weights, caught up: got - wanted, in distances between two
  // bfloat16 numbers just below 1, where the largest weights are.
  Values WeightErrors() {
    Run("catch_up_rows", {}, {weight_, momentum_, updated_, history_});
    Values errors = weight_.ToDoubles();
    for (size_t i = 0; i < errors.size(); ++i) {
      errors[i] = (errors[i] - w_[i]) / 0x1p-8;
    }
    return errors;
  }

  int64_t oldest() const {
    int64_t age = 0;
    for (double updated : updated_.ToDoubles()) {
      age = std::max(age, step_ - static_cast<int64_t>(updated));
    }
    return age;
  }

 private:
  static constexpr int64_t kRows = 61, kColumns = 19;
  static constexpr int64_t kGroups = 3, kCapacity = 21;
  static constexpr int64_t kNever = 55;  // Rows from here on are never listed.
  static constexpr double kMomentum = 0.9, kScale = 0.5;
  static TensorType type() { return {kFloat32, {kRows, kColumns}}; }

  // Largest of the row.
  static double Scale(int64_t i, const Values& values) {
    double largest = 1e-6;
    for (int64_t j = i / kColumns * kColumns; j < (i / kColumns + 1) * kColumns;
         ++j) {
      largest = std::max(largest, std::abs(values[j]));
    }
    return largest;
  }

  std::vector<HostValue> Run(absl::string_view op, const Attributes& attributes,
                             const std::vector<HostValue>& inputs,
                             const std::vector<TensorSlice>& outputs = {}) {
    RunOptions options;
    options.step = step_;
    options.seed = seed_;
    auto result =
        RunOp(*FindOp(op), attributes, inputs, outputs, options, kernels_);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : std::vector<HostValue>();
  }

  void ExpectGathered(const HostValue& rows, const Values& list) {
    const TensorType listed = {kFloat32, {kGroups * kCapacity, kColumns}};
    const std::vector<HostValue> y =
        Run("gather_rows_lazily", {},
            {weight_, rows, momentum_, updated_, history_},
            {HostValue::Whole(listed).slice()});
    ASSERT_EQ(y.size(), 1u);
    const Values got = y[0].ToDoubles();
    for (size_t e = 0; e < list.size(); ++e) {
      for (int64_t i = 0; i < kColumns; ++i) {
        const int64_t at = Row(e, list) * kColumns + i;
        const double want = list[e] < 0 ? 0 : w_[at];
        ASSERT_NEAR(got[e * kColumns + i], want,
                    list[e] < 0 ? 0 : 3e-5 * Scale(at, w_))
            << "step " << step_ << " row " << Row(e, list);
      }
    }
  }

  static int64_t Row(size_t entry, const Values& list) {
    return ShardRange(kRows, kGroups, static_cast<int>(entry / kCapacity))
               .begin +
           std::max<int64_t>(0, static_cast<int64_t>(list[entry]));
  }

  void StepAll(const Values& list, const Values& gradient,
               double learning_rate) {
    Values g(kRows * kColumns, 0);
    for (size_t e = 0; e < list.size(); ++e) {
      if (list[e] < 0) continue;
      for (int64_t i = 0; i < kColumns; ++i) {
        g[Row(e, list) * kColumns + i] = gradient[e * kColumns + i] * kScale;
      }
    }
    // As the kernels have them.
    const double rate = static_cast<float>(learning_rate);
    const double momentum = static_cast<float>(kMomentum);
    const double decay = static_cast<float>(weight_decay_);
    for (size_t i = 0; i < g.size(); ++i) {
      m_[i] = momentum * m_[i] + g[i] + decay * w_[i];
      w_[i] -= rate * m_[i];
    }
  }

  const KernelLibrary& kernels_;
  const double weight_decay_;
  const int64_t seed_;
  HostValue weight_, momentum_, updated_, history_;
  Values w_, m_;
  int64_t step_ = 0;
};

// Rates of learning that change in every step, steps that are skipped, lists
// that are long, short and empty: always what updating all rows gives.
void ExpectTheDenseUpdate(const std::vector<double>& weight_decays,
                          const std::vector<int64_t>& histories, int steps,
                          const KernelLibrary& kernels) {
  for (double weight_decay : weight_decays) {
    for (int64_t history : histories) {
      SCOPED_TRACE(testing::Message() << "weight decay " << weight_decay
                                      << ", history " << history);
      LazyRows rows(history, weight_decay, kFloat32, 0, kernels);
      for (int step = 0; step < steps; ++step) {
        const double rate = step % 10 == 3 ? 0 : step % 10 == 7 ? 0.9 : 0.05;
        const double learning_rate = 0.2 / (1 + step % 17) + 0.001 * step;
        rows.Step(rate, learning_rate, /*skip=*/step % 6 == 5);
        ASSERT_LE(rows.oldest(), history);
        if (testing::Test::HasFatalFailure()) return;
      }
      rows.ExpectCaughtUp(3e-5);
      // And it goes on from there.
      for (int step = 0; step < 20; ++step) rows.Step(0.1, 0.1, false);
      rows.ExpectCaughtUp(3e-5);
    }
  }
}

TEST(SgdUpdateRowsLazilyTest, IsTheDenseUpdate) {
  ExpectTheDenseUpdate({0.0, 5e-4, 0.3}, {2, 8, 64}, 150, CpuKernels());
}

TEST(SgdUpdateRowsLazilyTest, IsTheDenseUpdateByCuda) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  ExpectTheDenseUpdate({5e-4, 0.3}, {2, 8}, 50, CudaKernelsOnHost());
}

// Thousands of steps later the momentum of the first is gone, but what weight
// decay did is exact.
TEST(SgdUpdateRowsLazilyTest, LongHistoriesKeepTheirAccuracy) {
  LazyRows rows(4096, 0.002);
  for (int step = 0; step < 4000; ++step) {
    rows.Step(0, 0.02 * (1 + std::sin(0.01 * step)), false);
  }
  EXPECT_GT(rows.oldest(), 1800);
  rows.ExpectCaughtUp(2e-5);
}

// What holds of bfloat16 rows, whenever they are caught up: a missed step is
// linear and rounding keeps the expectation, so that the expectation is what
// updating all rows in float64 gives. Over many seeds of the rounding:
TEST(SgdUpdateRowsLazilyTest, BFloat16RowsAreTheDenseUpdateOnAverage) {
  constexpr int kSeeds = 24, kSteps = 40;
  double sum = 0, square = 0, count = 0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    LazyRows rows(16, 0.01, DataType::kBFloat16, seed);
    for (int step = 0; step < kSteps; ++step) {
      rows.Step(0.2, 0.01 * (1 + step % 3), /*skip=*/step % 6 == 5);
    }
    for (double error : rows.WeightErrors()) {
      sum += error;
      square += error * error;
      ++count;
    }
  }
  const double deviation = std::sqrt(square / count);
  EXPECT_LE(std::abs(sum / count), 5 * deviation / std::sqrt(count));
  // Each row was written some 10 times, and each time by less than 1.
  EXPECT_LE(deviation, 4);
  EXPECT_GT(deviation, 0.1);
}

// However many steps a row has missed, it is rounded once when it is written:
// the op in float32, rounded, is the op in bfloat16.
void ExpectBFloat16RowsRoundedOnce(const KernelLibrary& kernels,
                                   int64_t columns) {
  constexpr int64_t kRows = 40, kStep = 4, kKey = 5;
  const TensorType type = {kFloat32, {kRows, columns}};
  const HostValue w =
      WithType(Filled(type, RandomValues(type, {}, 1)), DataType::kBFloat16);
  const HostValue m =
      WithType(Filled(type, RandomValues(type, {}, 2)), DataType::kBFloat16);
  const TensorType list_type = {DataType::kInt32, {2, 12}};
  const HostValue rows =
      Filled(list_type, RandomValues(list_type, {0, 20, true}, 3));
  const TensorType gradient_type = {kFloat32, {24, columns}};
  const HostValue gradient =
      Filled(gradient_type, RandomValues(gradient_type, {}, 4));
  const TensorType history_type = {kFloat32, {4, 6}};
  const HostValue history =
      Filled(history_type, RandomValues(history_type, {0, 0.1}, 5));
  const TensorType updated_type = {DataType::kInt32, {kRows}};
  RunOptions options;
  options.step = kStep;
  options.seed = 3;
  struct State {
    HostValue weight, momentum, updated;
  };
  auto run = [&](absl::string_view op, DataType stored) {
    const State state = {
        WithType(w, stored), WithType(m, stored),
        Filled(updated_type, RandomValues(updated_type, {1, 5}, 6))};
    std::vector<HostValue> inputs = {state.weight, state.momentum};
    if (op != "sgd_update_rows") {
      inputs.insert(inputs.end(), {state.updated, history});
    }
    if (op != "catch_up_rows") {
      inputs.insert(inputs.end(), {rows, gradient, Scalar(0.1)});
    }
    const absl::Status status =
        RunOp(*FindOp(op), {{"key", kKey}}, inputs, {}, options, kernels)
            .status();
    EXPECT_TRUE(status.ok()) << status;
    return state;
  };
  for (const char* op :
       {"sgd_update_rows", "sgd_update_rows_lazily", "catch_up_rows"}) {
    SCOPED_TRACE(op);
    const State exact = run(op, kFloat32);
    const State rounded = run(op, DataType::kBFloat16);
    // Between steps other random numbers are used than in the next one.
    const uint32_t key =
        op == std::string("catch_up_rows") ? kKey ^ 0x80000000u : kKey;
    const RandomStream stream = {3, key, kStep};
    ExpectRounded(rounded.weight, exact.weight, stream, StateKind::kWeight);
    ExpectRounded(rounded.momentum, exact.momentum, stream,
                  StateKind::kMomentum);
    EXPECT_NE(rounded.weight.ToDoubles(), w.ToDoubles());
  }
}

TEST(SgdUpdateRowsLazilyTest, BFloat16RowsAreRoundedOnce) {
  ExpectBFloat16RowsRoundedOnce(CpuKernels(), 37);
}

TEST(SgdUpdateRowsLazilyTest, BFloat16RowsAreRoundedOnceByCuda) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  // Elements one by one, and in vectors of several rounding groups.
  ExpectBFloat16RowsRoundedOnce(CudaKernelsOnHost(), 37);
  ExpectBFloat16RowsRoundedOnce(CudaKernelsOnHost(), 300);
}

// The largest difference that only weight decay makes over many steps, in
// float64, next to what the history says.
TEST(DecayTest, ComposesSteps) {
  Decay<float> decay;
  double w = 0.7, m = -0.3;
  const float momentum = 0.9f, weight_decay = 5e-4f;
  for (int step = 0; step < 200; ++step) {
    const float rate = 0.1f / static_cast<float>(1 + step % 7);
    decay = decay.Then(rate, momentum, weight_decay);
    m = momentum * m + weight_decay * w;
    w -= rate * m;
  }
  float weight = 0.7f, velocity = -0.3f;
  decay.Apply(&weight, &velocity);
  EXPECT_NEAR(weight, w, 1e-6 * std::abs(w));
  EXPECT_NEAR(velocity, m, 1e-5 * std::abs(m));
}

}  // namespace
}  // namespace facet::ops
