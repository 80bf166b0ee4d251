#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph/shard.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"
#include "ops/testing/rounded.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;

// The gradient of sum(dy * x . w / |w|) by each listed row, then SGD.
std::vector<Values> Reference64(const Attributes& attributes,
                                const std::vector<TensorType>& types,
                                const std::vector<Values>& inputs) {
  Values w = inputs[0], m = inputs[1];
  const int64_t d = types[0].shape[1], n = types[3].shape[0];
  const int64_t groups = types[2].shape[0], capacity = types[2].shape[1];
  const int64_t entries = groups * capacity;
  for (int64_t e = 0; e < entries; ++e) {
    if (inputs[2][e] < 0) continue;
    const int64_t row =
        ShardRange(types[0].shape[0], groups, static_cast<int>(e / capacity))
            .begin +
        static_cast<int64_t>(inputs[2][e]);
    double* weight = w.data() + row * d;
    double square = 0, dot = 0;
    Values product(d, 0);
    for (int64_t i = 0; i < d; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        product[i] += inputs[4][j * entries + e] * inputs[3][j * d + i];
      }
      square += weight[i] * weight[i];
      dot += weight[i] * product[i];
    }
    const double norm = std::sqrt(square);
    for (int64_t i = 0; i < d; ++i) {
      const double gradient =
          (product[i] - weight[i] * dot / square) / norm * inputs[6][0];
      double& momentum = m[row * d + i];
      momentum = attributes.Float("momentum") * momentum + gradient +
                 attributes.Float("weight_decay") * weight[i];
      product[i] = momentum;
    }
    for (int64_t i = 0; i < d; ++i) weight[i] -= inputs[5][0] * product[i];
  }
  return {w, m};
}

TEST(CosineLinearSgdRowsTest, MatchesReference) {
  // The last: two tiles of the CUDA kernel, the second with fewer entries.
  for (const auto& [n, c, d, groups, capacity] :
       {std::array<int64_t, 5>{7, 13, 9, 2, 5},
        {16, 3000, 130, 3, 900},
        {1, 4, 3, 1, 4},
        {2, 125, 70000, 1, 121}}) {
    OpCase op_case;
    op_case.op = "cosine_linear_sgd_rows";
    op_case.inputs = {{kFloat32, {c, d}},
                      {kFloat32, {c, d}},
                      {DataType::kInt32, {groups, capacity}},
                      {kFloat32, {n, d}},
                      {kFloat32, {n, groups * capacity}},
                      {kFloat32, {}},
                      {kFloat32, {}}};
    op_case.domains.resize(7);
    op_case.domains[2] = {0, static_cast<double>(c / groups), true};
    ExpectMatchesReference(op_case, Reference64);
  }
}

void ExpectBFloat16RowsRounded(const KernelLibrary& kernels, int64_t columns) {
  constexpr int64_t kRows = 60, kBatch = 6, kCapacity = 15;
  const int64_t key = 5;
  const TensorType type = {kFloat32, {kRows, columns}};
  const std::vector<TensorType> types = {type,
                                         type,
                                         {DataType::kInt32, {kRows}},
                                         {kFloat32, {4, 6}},
                                         {DataType::kInt32, {2, kCapacity}},
                                         {kFloat32, {kBatch, columns}},
                                         {kFloat32, {kBatch, 2 * kCapacity}},
                                         {kFloat32, {}}};
  const std::vector<InputDomain> domains = {
      {}, {}, {1, 5}, {0, 0.1}, {0, 30, true}, {}, {}, {0.1, 0.2}};
  std::vector<HostValue> all;
  for (size_t i = 0; i < types.size(); ++i) {
    all.push_back(HostValue::Whole(types[i]));
    all[i].FromDoubles(
        RandomValues(types[i], domains[i], static_cast<int64_t>(i)));
  }
  RunOptions options;
  options.step = 4;
  options.seed = 3;
  for (const bool lazy : {false, true}) {
    SCOPED_TRACE(lazy);
    // Weight and momentum after the step.
    auto run = [&](DataType weight, DataType momentum) {
      std::vector<HostValue> inputs;
      for (size_t i = 0; i < all.size(); ++i) {
        if (!lazy && (i == 2 || i == 3)) continue;
        inputs.push_back(all[i].Copy());
      }
      for (int i : {0, 1}) {
        inputs[i] = WithType(WithType(all[i], DataType::kBFloat16),
                             i == 0 ? weight : momentum);
      }
      const absl::Status status =
          RunOp(*FindOp(lazy ? "cosine_linear_sgd_rows_lazily"
                             : "cosine_linear_sgd_rows"),
                {{"key", key}}, inputs, {}, options, kernels)
              .status();
      CHECK(status.ok()) << status;
      return inputs;
    };
    const std::vector<HostValue> exact = run(kFloat32, kFloat32);
    const DataType half = DataType::kBFloat16;
    for (const auto& [weight, momentum] :
         {std::make_pair(half, half), {half, kFloat32}, {kFloat32, half}}) {
      const std::vector<HostValue> got = run(weight, momentum);
      ExpectRounded(got[0], exact[0], {3, 5, 4}, StateKind::kWeight);
      ExpectRounded(got[1], exact[1], {3, 5, 4}, StateKind::kMomentum);
    }
  }
}

TEST(CosineLinearSgdRowsTest, BFloat16RowsAreTheFloat32StepRounded) {
  for (const KernelLibrary* kernels :
       LibrariesToTest("cosine_linear_sgd_rows")) {
    SCOPED_TRACE(std::string(kernels->device_kind));
    ExpectBFloat16RowsRounded(*kernels, 41);
    ExpectBFloat16RowsRounded(*kernels, 64);
  }
}

// Fused or not, lazily updated rows come out the same; and that the unfused
// update is right is shown in ops/sgd_update_rows.
TEST(CosineLinearSgdRowsTest, LazilyIsTheUnfusedUpdate) {
  constexpr int64_t kRows = 29, kColumns = 33, kBatch = 6, kCapacity = 11;
  const TensorType type = {kFloat32, {kRows, kColumns}};
  const TensorType list_type = {DataType::kInt32, {2, kCapacity}};
  const TensorType x_type = {kFloat32, {kBatch, kColumns}};
  const TensorType dy_type = {kFloat32, {kBatch, 2 * kCapacity}};
  const TensorType listed = {kFloat32, {2 * kCapacity, kColumns}};
  const TensorType history_type = {kFloat32, {4, 6}};
  auto filled = [](const TensorType& type, const InputDomain& domain,
                   int64_t seed) {
    HostValue value = HostValue::Whole(type);
    value.FromDoubles(RandomValues(type, domain, seed));
    return value;
  };
  RunOptions options;
  options.step = 4;
  auto run = [&](absl::string_view op, const Attributes& attributes,
                 const std::vector<HostValue>& inputs,
                 const std::vector<TensorType>& outputs,
                 const KernelLibrary& kernels = CpuKernels()) {
    std::vector<TensorSlice> slices;
    for (const TensorType& output : outputs) {
      slices.push_back(HostValue::Whole(output).slice());
    }
    auto result =
        RunOp(*FindOp(op), attributes, inputs, slices, options, kernels);
    CHECK(result.ok()) << result.status();
    return *std::move(result);
  };
  const HostValue rows = filled(list_type, {0, 14, true}, 3);
  const HostValue x = filled(x_type, {}, 4);
  const HostValue dy = filled(dy_type, {}, 5);
  const HostValue history = filled(history_type, {0, 0.1}, 6);
  const HostValue rate = filled({kFloat32, {}}, {0.1, 0.2}, 7);
  struct State {
    HostValue weight, momentum, updated;
  };
  auto state = [&] {
    return State{filled(type, {}, 1), filled(type, {}, 2),
                 filled({DataType::kInt32, {kRows}}, {1, 5}, 8)};
  };
  const State unfused = state();
  const HostValue w =
      run("gather_rows_lazily", {},
          {unfused.weight, rows, unfused.momentum, unfused.updated, history},
          {listed})[0];
  const HostValue product =
      run("matmul", {{"transpose_a", true}}, {dy, x}, {listed})[0];
  const HostValue gradient =
      run("l2_normalize_grad", {}, {product, w}, {listed})[0];
  run("sgd_update_rows_lazily", {},
      {unfused.weight, unfused.momentum, unfused.updated, history, rows,
       gradient, rate},
      {});
  const Values initial = state().weight.ToDoubles();
  for (const KernelLibrary* kernels :
       LibrariesToTest("cosine_linear_sgd_rows_lazily")) {
    SCOPED_TRACE(std::string(kernels->device_kind));
    const State fused = state();
    run("cosine_linear_sgd_rows_lazily", {},
        {fused.weight, fused.momentum, fused.updated, history, rows, x, dy,
         rate},
        {}, *kernels);
    EXPECT_EQ(fused.updated.ToDoubles(), unfused.updated.ToDoubles());
    for (auto [a, b] : {std::make_pair(fused.weight, unfused.weight),
                        std::make_pair(fused.momentum, unfused.momentum)}) {
      const Values got = a.ToDoubles(), want = b.ToDoubles();
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], want[i], 1e-5) << i;
      }
    }
    EXPECT_NE(fused.weight.ToDoubles(), initial);
  }
}

}  // namespace
}  // namespace facet::ops
