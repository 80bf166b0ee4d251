#include "placement/cost/op_cost.h"

#include "gtest/gtest.h"
#include "ops/may_round_attribute.h"

namespace facet::placement {
namespace {

using ops::DataType;
using ops::Sbp;
using ops::TensorType;

// Multiplies two matrices: 2 flops per element of a and column of b.
ops::OpDef MatmulLike() {
  ops::OpDef def;
  def.name = "matmul_like";
  def.cost = [](const ops::OpCall& local) {
    ops::Cost cost;
    cost.flops =
        2.0 * local.inputs[0].shape.num_elements() * local.outputs[0].shape[1];
    for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
    cost.bytes += local.outputs[0].size_bytes();
    return cost;
  };
  return def;
}

// Round numbers: 1e9 flop/s, half types 4e9, 1e9 bytes/s, launch 1 ms.
DeviceSpec RoundDevice() {
  DeviceSpec device;
  device.float32_flops_per_second = 1e9;
  device.half_flops_per_second = 4e9;
  device.memory_bytes_per_second = 1e9;
  device.launch_seconds = 1e-3;
  return device;
}

struct Call {
  std::vector<TensorType> inputs;
  std::vector<TensorType> outputs;
};
Call Product(DataType dtype, int64_t rows) {
  return {{{dtype, {rows, 100}}, {dtype, {100, 100}}}, {{dtype, {rows, 100}}}};
}

const ops::NdSignature kByRows = {{Sbp::S(0), Sbp::B()}, {Sbp::S(0)}};
const ops::NdSignature kWhole = {{Sbp::B(), Sbp::B()}, {Sbp::B()}};

double Seconds(const Call& call, const ops::NdSignature& signature,
               int devices) {
  return OpSeconds(MatmulLike(), {{}, call.inputs, call.outputs}, signature,
                   ops::Mesh{{devices}}, RoundDevice());
}

TEST(OpCostTest, ArithmeticIsTheSlowerPart) {
  // 2 * 1000 * 100 * 100 = 2e7 flops; 840,000 bytes take 0.84 ms.
  EXPECT_DOUBLE_EQ(Seconds(Product(DataType::kFloat32, 1000), kWhole, 1),
                   1e-3 + 2e7 / 1e9);
}

TEST(OpCostTest, HalfRunsAtTheHalfRate) {
  for (DataType half : {DataType::kFloat16, DataType::kBFloat16}) {
    EXPECT_DOUBLE_EQ(Seconds(Product(half, 1000), kWhole, 1), 1e-3 + 2e7 / 4e9);
  }
}

TEST(OpCostTest, ProductsThatMayRoundRunAtTheirRateIfThereIsOne) {
  DeviceSpec device = RoundDevice();
  device.op_rates["matmul_like"] = {.float32 = 2, .half = 0.5};
  auto seconds = [&](DataType dtype) {
    const Call call = Product(dtype, 1000);
    return LocalOpSeconds(MatmulLike(),
                          {{{ops::kMayRound, true}}, call.inputs, call.outputs},
                          device);
  };
  EXPECT_DOUBLE_EQ(seconds(DataType::kFloat32), 1e-3 + 2e7 / 2e9);
  device.rounded_flops_per_second = 10e9;
  EXPECT_DOUBLE_EQ(seconds(DataType::kFloat32), 1e-3 + 2e7 / 5e9);
  EXPECT_DOUBLE_EQ(seconds(DataType::kFloat16), 1e-3 + 2e7 / 2e9);
}

TEST(OpCostTest, AnOperatorsOwnRatesCountForItAlone) {
  DeviceSpec device = RoundDevice();
  device.op_rates["matmul_like"] = {.float32 = 2, .half = 0.5, .memory = 0.1};
  auto seconds = [&](DataType dtype, int64_t rows, const ops::OpDef& def) {
    const Call call = Product(dtype, rows);
    return LocalOpSeconds(def, {{}, call.inputs, call.outputs}, device);
  };
  // Half: 2e7 flops at 4e9 / 2. Float32: at 1e9 * 2; with one row memory is
  // slower, at 1e9 / 10.
  const ops::OpDef def = MatmulLike();
  EXPECT_DOUBLE_EQ(seconds(DataType::kFloat16, 1000, def), 1e-3 + 2e7 / 2e9);
  EXPECT_DOUBLE_EQ(seconds(DataType::kFloat32, 1000, def), 1e-3 + 2e7 / 2e9);
  EXPECT_DOUBLE_EQ(seconds(DataType::kFloat32, 1, def),
                   1e-3 + (2 * 400 + 40000) / 1e8);
  ops::OpDef other = def;
  other.name = "other";
  EXPECT_DOUBLE_EQ(seconds(DataType::kFloat32, 1000, other), 1e-3 + 2e7 / 1e9);
}

TEST(OpCostTest, SplitsCountTheLargestShareAndCopiesAllOfIt) {
  const Call call = Product(DataType::kFloat32, 1000);
  // 334, 333 and 333 rows.
  EXPECT_DOUBLE_EQ(Seconds(call, kByRows, 3),
                   1e-3 + 2.0 * 334 * 100 * 100 / 1e9);
  EXPECT_DOUBLE_EQ(Seconds(call, kWhole, 3), Seconds(call, kWhole, 1));
}

TEST(OpCostTest, WithoutACostMemoryTrafficOfAllOperandsCounts) {
  ops::OpDef copy;
  copy.name = "copy";
  const std::vector<TensorType> types = {{DataType::kFloat32, {500, 500}}};
  EXPECT_DOUBLE_EQ(LocalOpSeconds(copy, {{}, types, types}, RoundDevice()),
                   1e-3 + 2 * 1e6 / 1e9);
}

}  // namespace
}  // namespace facet::placement
