#include "benchmarks/limits.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/op_table.h"
#include "placement/plan/attribute.h"
#include "runtime/device/cpu_device.h"

namespace facet::benchmarks {
namespace {

using testing::HasSubstr;
using testing::Not;

int AddRegister(const std::string& dtype, const std::vector<int64_t>& shape,
                placement::Plan* plan) {
  placement::Register* reg = plan->add_registers();
  reg->set_dtype(dtype);
  for (const int64_t dim : shape) reg->add_shape(dim);
  return plan->registers_size() - 1;
}

// One device: a convolution forward, a product in the head, a collective.
placement::Plan SmallPlan(const std::string& dtype) {
  placement::Plan plan;
  plan.add_devices();
  placement::Task* conv = plan.add_tasks();
  conv->set_stream("compute");
  conv->set_op("conv2d");
  conv->set_phase("forward");
  conv->set_part("backbone");
  placement::WriteAttributes({{"stride", int64_t{1}},
                              {"padding", int64_t{1}},
                              {"algorithm", std::string("winograd")}},
                             conv);
  conv->add_inputs(AddRegister(dtype, {2, 64, 28, 28}, &plan));
  conv->add_inputs(AddRegister(dtype, {32, 64, 3, 3}, &plan));
  conv->add_outputs(AddRegister(dtype, {2, 32, 28, 28}, &plan));
  placement::Task* product = plan.add_tasks();
  product->set_stream("compute");
  product->set_op("matmul");
  product->set_phase("forward");
  product->set_part("head");
  placement::WriteAttributes({{"transpose_a", false}, {"transpose_b", false}},
                             product);
  product->add_inputs(AddRegister("float32", {100, 200}, &plan));
  product->add_inputs(AddRegister("float32", {200, 300}, &plan));
  product->add_outputs(AddRegister("float32", {100, 300}, &plan));
  placement::Task* collective = plan.add_tasks();
  collective->set_stream("communication");
  collective->mutable_collective()->set_kind(placement::Collective::ALL_REDUCE);
  collective->mutable_collective()->set_bytes(5000);
  return plan;
}

PrimitiveRates Rates() {
  PrimitiveRates rates;
  rates.arithmetic[ops::DataType::kFloat32] = {1e9, 2e9};
  rates.arithmetic[ops::DataType::kBFloat16] = {3e9, 4e9};
  rates.copy_bytes_per_second = 1e6;
  return rates;
}

constexpr int64_t kSecond = 1'000'000'000;

runtime::Timeline SmallTimeline(const placement::Plan& plan) {
  runtime::Timeline timeline(plan, 4);
  for (int64_t step = 0; step < 3; ++step) {
    const int64_t t = step * 100 * kSecond;
    timeline.Record({0, step, t, t + 40 * kSecond});
    timeline.Record({1, step, t + 40 * kSecond, t + 60 * kSecond});
    timeline.Record({2, step, t + 60 * kSecond, t + 61 * kSecond});
  }
  return timeline;
}

TEST(LimitsTest, WorkIsOfTheDefinitionAndTheLeastTimeOfTheRates) {
  const double conv_flops = 2.0 * 2 * 32 * 28 * 28 * 64 * 9;
  for (const bool half : {false, true}) {
    const placement::Plan plan = SmallPlan(half ? "bfloat16" : "float32");
    const auto work =
        FindWork(plan, SmallTimeline(plan), 1, 3, Rates(), ops::FindOp);
    ASSERT_EQ(work.size(), 3u);
    EXPECT_EQ(work[0].phase, "forward");
    EXPECT_EQ(work[0].op, "conv2d");
    EXPECT_NEAR(work[0].seconds, 40, 1e-9);
    EXPECT_EQ(work[0].flops, conv_flops);
    // Bytes bound it here; the rates are such that FLOP do not.
    const double bytes =
        (half ? 2.0 : 4.0) * (2 * 64 * 784 + 32 * 64 * 9 + 2 * 32 * 784);
    EXPECT_GE(work[0].bytes, bytes);
    EXPECT_NEAR(work[0].least_seconds,
                std::max(work[0].bytes / 1e6, conv_flops / (half ? 4e9 : 2e9)),
                1e-9);
    EXPECT_EQ(work[1].phase, "head");
    EXPECT_EQ(work[1].flops, 2.0 * 100 * 200 * 300);
    EXPECT_NEAR(work[1].seconds, 20, 1e-9);
    EXPECT_EQ(work[2].phase, "communication");
    EXPECT_EQ(work[2].op, "all_reduce");
    EXPECT_EQ(work[2].bytes, 5000);
    EXPECT_NEAR(work[2].least_seconds, 5e-3, 1e-12);
  }
}

TEST(LimitsTest, FlopBoundWorkUsesTheRateOfItsPrimitiveAndType) {
  PrimitiveRates rates = Rates();
  rates.copy_bytes_per_second = 1e15;
  for (const bool half : {false, true}) {
    const placement::Plan plan = SmallPlan(half ? "bfloat16" : "float32");
    const auto work =
        FindWork(plan, SmallTimeline(plan), 0, 3, rates, ops::FindOp);
    EXPECT_NEAR(work[0].least_seconds, work[0].flops / (half ? 4e9 : 2e9),
                1e-9);
    EXPECT_NEAR(work[1].least_seconds, work[1].flops / 1e9, 1e-9);
  }
}

// Two devices that do the same each have half of the machine.
TEST(LimitsTest, DevicesShareTheMachine) {
  placement::Plan one = SmallPlan("float32");
  placement::Plan two = one;
  two.add_devices();
  for (int t = 0; t < 3; ++t) {
    placement::Task* task = two.add_tasks();
    *task = one.tasks(t);
    task->set_device(1);
  }
  runtime::Timeline timeline(two, 4);
  for (int task = 0; task < 6; ++task) {
    const int64_t t = task % 3 * 10 * kSecond;
    timeline.Record({task, 0, t, t + 10 * kSecond});
  }
  const auto both = FindWork(two, timeline, 0, 1, Rates(), ops::FindOp);
  const auto alone =
      FindWork(one, SmallTimeline(one), 0, 1, Rates(), ops::FindOp);
  ASSERT_EQ(both.size(), alone.size());
  for (size_t i = 0; i < both.size(); ++i) {
    EXPECT_NEAR(both[i].flops, 2 * alone[i].flops, 1e-6);
    EXPECT_NEAR(both[i].least_seconds, 2 * alone[i].least_seconds, 1e-9);
    EXPECT_NEAR(both[i].seconds, 10, 1e-9);
  }
}

TEST(LimitsTest, TextNamesTheRatesThePhasesAndWhatIsWorthALine) {
  const placement::Plan plan = SmallPlan("bfloat16");
  const auto work =
      FindWork(plan, SmallTimeline(plan), 0, 3, Rates(), ops::FindOp);
  const std::string text = LimitsText(work, Rates(), 100);
  EXPECT_THAT(text, HasSubstr("bfloat16 matrix product 3 GFLOP/s"));
  EXPECT_THAT(text, HasSubstr("\nforward"));
  EXPECT_THAT(text, HasSubstr("\n  conv2d"));
  EXPECT_THAT(text, HasSubstr("\ncommunication"));
  EXPECT_THAT(text, HasSubstr("\n  all_reduce"));
  // A hundredth of a step or more; of 1000 s that is not.
  EXPECT_THAT(LimitsText(work, Rates(), 1000), Not(HasSubstr("all_reduce")));
}

TEST(PrimitivesTest, ThisMachineHasRates) {
  const auto owned = runtime::CreateCpuDevices(2);
  ASSERT_TRUE(owned.ok()) << owned.status();
  const auto rates = MeasurePrimitives({(*owned)[0].get(), (*owned)[1].get()},
                                       ops::DataType::kBFloat16);
  ASSERT_TRUE(rates.ok()) << rates.status();
  EXPECT_EQ(rates->arithmetic.size(), 2u);
  for (const auto& [dtype, arithmetic] : rates->arithmetic) {
    EXPECT_GT(arithmetic.product, 0);
    EXPECT_GT(arithmetic.convolution, 0);
  }
  EXPECT_GT(rates->copy_bytes_per_second, 0);
}

}  // namespace
}  // namespace facet::benchmarks
