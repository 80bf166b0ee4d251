#include "ops/testing/interpreter.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"

namespace facet::ops {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<double> Counting(int64_t count) {
  std::vector<double> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = i % 7 - 2.5;
  return values;
}

TEST(HostValueTest, NewMemoryIsNaN) {
  const HostValue value = HostValue::Whole({DataType::kFloat32, {3}});
  for (double v : value.ToDoubles()) EXPECT_TRUE(std::isnan(v));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(value.view().data) % 64, 0);
}

TEST(HostValueTest, RoundsToItsType) {
  HostValue value = HostValue::Whole({DataType::kBFloat16, {2}});
  value.FromDoubles({1 + 0x1p-9, -3.0});
  EXPECT_THAT(value.ToDoubles(), ElementsAre(1.0, -3.0));
  HostValue integers = HostValue::Whole({DataType::kInt64, {2}});
  integers.FromDoubles({2.6, -7});
  EXPECT_THAT(integers.ToDoubles(), ElementsAre(3.0, -7.0));
}

TEST(HostValueTest, BlockedLayoutsPutChannelsOfABlockTogether) {
  const Shape shape = {2, 16, 3, 1};
  HostValue value(
      {DataType::kFloat32, Layout::kBlocked8, shape, shape, {0, 0, 0, 0}});
  std::vector<double> values(shape.num_elements());
  for (size_t i = 0; i < values.size(); ++i) values[i] = i;
  value.FromDoubles(values);
  EXPECT_EQ(value.ToDoubles(), values);
  const float* data = value.as<float>();
  // [n, c, h, w] lies at [n, c / 8, h, w, c % 8].
  EXPECT_EQ(data[1], 3);                          // Channel 1, row 0.
  EXPECT_EQ(data[8], 1);                          // Channel 0, row 1.
  EXPECT_EQ(data[3 * 8], 8 * 3);                  // Channel 8, row 0.
  EXPECT_EQ(data[(3 * 3 + 2) * 8 + 5], 48 + 41);  // Image 1, channel 13, row 2.
}

TEST(HostValueTest, ChannelsLast) {
  const Shape shape = {1, 2, 1, 3};
  HostValue value(
      {DataType::kFloat32, Layout::kChannelsLast, shape, shape, {0, 0, 0, 0}});
  value.FromDoubles({0, 1, 2, 10, 11, 12});
  EXPECT_THAT(std::vector<float>(value.as<float>(), value.as<float>() + 6),
              ElementsAre(0, 10, 1, 11, 2, 12));
  EXPECT_THAT(value.ToDoubles(), ElementsAre(0, 1, 2, 10, 11, 12));
}

TEST(SharesTest, JoiningTakesBackWhatTakingDid) {
  for (DataType dtype : {DataType::kFloat32, DataType::kInt32}) {
    HostValue whole = HostValue::Whole({dtype, {5, 4}});
    whole.FromDoubles(Counting(20));
    for (const Sbp& sbp :
         {Sbp::S(0), Sbp::S(1), Sbp::B(), Sbp::PSum(), Sbp::PMax()}) {
      for (int k = 1; k <= 4; ++k) {
        std::vector<HostValue> shares;
        for (int r = 0; r < k; ++r) {
          shares.push_back(TakeShare(whole, sbp, k, r));
        }
        const absl::StatusOr<HostValue> joined = JoinShares(shares, sbp);
        ASSERT_TRUE(joined.ok()) << joined.status();
        const std::vector<double> got = joined->ToDoubles();
        const std::vector<double> want = whole.ToDoubles();
        for (size_t i = 0; i < want.size(); ++i) {
          EXPECT_NEAR(got[i], want[i], 1e-6) << sbp.ToString() << " k " << k;
        }
      }
    }
  }
}

TEST(SharesTest, PartialSharesAreNotTrivial) {
  HostValue whole = HostValue::Whole({DataType::kFloat32, {30}});
  whole.FromDoubles(Counting(30));
  for (const Sbp& sbp : {Sbp::PSum(), Sbp::PMax()}) {
    for (int rank = 0; rank < 3; ++rank) {
      const std::vector<double> share =
          TakeShare(whole, sbp, 3, rank).ToDoubles();
      int different = 0;
      for (int i = 0; i < 30; ++i) different += share[i] != i % 7 - 2.5;
      EXPECT_GT(different, 10) << sbp.ToString() << " rank " << rank;
    }
  }
}

TEST(SharesTest, SplitShareIsABoxOfTheWhole) {
  HostValue whole = HostValue::Whole({DataType::kFloat32, {2, 5}});
  whole.FromDoubles({0, 1, 2, 3, 4, 10, 11, 12, 13, 14});
  const HostValue share = TakeShare(whole, Sbp::S(1), 2, 1);
  EXPECT_EQ(share.slice().offset, (Shape{0, 3}));
  EXPECT_EQ(share.slice().global_shape, (Shape{2, 5}));
  EXPECT_THAT(share.ToDoubles(), ElementsAre(3, 4, 13, 14));
}

TEST(SharesTest, BroadcastSharesMustHaveEqualBits) {
  HostValue a = HostValue::Whole({DataType::kFloat32, {3}});
  a.FromDoubles({1, 2, 3});
  HostValue b = a.Copy();
  EXPECT_TRUE(JoinShares({a, b}, Sbp::B()).ok());
  b.as<float>()[1] = 2.5f;
  EXPECT_THAT(std::string(JoinShares({a, b}, Sbp::B()).status().message()),
              HasSubstr("element 1 is 2 on rank 0, 2.5 on rank 1"));
}

// count() -> value, a variable that is 10; add_step(w!, x) -> (): w += x + the
// step's number; twice(x) -> y.
const OpDef* FindTestOp(absl::string_view name) {
  static const std::vector<OpDef>& ops = *[] {
    auto scalar = [](const OpCall&, std::vector<TensorType>* outputs) {
      outputs->resize(1);  // A TensorType is a float32 scalar by default.
      return absl::OkStatus();
    };
    auto* ops = new std::vector<OpDef>(3);
    (*ops)[0].name = "count";
    (*ops)[0].outputs = {"value"};
    (*ops)[0].is_variable = true;
    (*ops)[0].infer = scalar;
    (*ops)[1].name = "add_step";
    (*ops)[1].inputs = {"w", "x"};
    (*ops)[1].mutates = {0};
    (*ops)[1].infer = [](const OpCall&, std::vector<TensorType>*) {
      return absl::OkStatus();
    };
    (*ops)[2].name = "twice";
    (*ops)[2].inputs = {"x"};
    (*ops)[2].outputs = {"y"};
    (*ops)[2].infer = scalar;
    return ops;
  }();
  for (const OpDef& def : ops) {
    if (def.name == name) return &def;
  }
  return nullptr;
}

KernelDef Scalars(void (*run)(const KernelContext& context)) {
  return {nullptr, [run](const KernelSpec&) -> absl::StatusOr<Kernel> {
            return Kernel([run](const KernelContext& context) {
              run(context);
              return absl::OkStatus();
            });
          }};
}

const KernelDef* FindTestKernel(absl::string_view op) {
  static const auto& kernels = *new std::map<std::string, KernelDef>{
      {"count", Scalars([](const KernelContext& context) {
         EXPECT_EQ(context.step, -1);
         *context.outputs[0].as<float>() = 10;
       })},
      {"add_step", Scalars([](const KernelContext& context) {
         *context.inputs[0].as<float>() +=
             *context.inputs[1].as<float>() + context.step;
       })},
      {"twice", Scalars([](const KernelContext& context) {
         *context.outputs[0].as<float>() = 2 * *context.inputs[0].as<float>();
       })}};
  auto it = kernels.find(std::string(op));
  return it == kernels.end() ? nullptr : &it->second;
}

TEST(InterpreterTest, MutationIsSeenByTheNextStep) {
  static constexpr KernelLibrary kernels = {"cpu", FindTestKernel, nullptr};
  Graph graph;
  GraphBuilder builder(&graph, FindTestOp);
  const TensorId w = builder.Add1("count", "w", {});
  const TensorId x = builder.Add1("twice", "x", {w});
  ASSERT_TRUE(builder.Add("add_step", "update", {w, x}).ok());
  // Comes after the update in the graph and reads the old value all the same.
  const TensorId y = builder.Add1("twice", "y", {w});
  ASSERT_TRUE(builder.status().ok()) << builder.status();

  absl::StatusOr<Interpreter> interpreter =
      Interpreter::Create(&graph, FindTestOp, &kernels, RunOptions());
  ASSERT_TRUE(interpreter.ok()) << interpreter.status();
  EXPECT_THAT(interpreter->value(w).ToDoubles(), ElementsAre(10));
  ASSERT_TRUE(interpreter->Step().ok());
  EXPECT_THAT(interpreter->value(y).ToDoubles(), ElementsAre(20));
  EXPECT_THAT(interpreter->value(w).ToDoubles(), ElementsAre(30));
  ASSERT_TRUE(interpreter->Step().ok());
  EXPECT_THAT(interpreter->value(y).ToDoubles(), ElementsAre(60));
  EXPECT_THAT(interpreter->value(w).ToDoubles(), ElementsAre(91));  // Step 1.

  HostValue given = HostValue::Whole({DataType::kFloat32, {}});
  given.FromDoubles({1});
  interpreter->Set(x, given);
  interpreter->Set(w, given);
  ASSERT_TRUE(interpreter->Step().ok());
  EXPECT_THAT(interpreter->value(w).ToDoubles(), ElementsAre(4));  // 1 + 1 + 2
  EXPECT_THAT(given.ToDoubles(), ElementsAre(1));  // The caller's own.
}

TEST(InterpreterTest, ErrorsNameTheNode) {
  static constexpr KernelLibrary none = {
      "abacus", [](absl::string_view) -> const KernelDef* { return nullptr; },
      nullptr};
  Graph graph;
  GraphBuilder builder(&graph, FindTestOp);
  builder.Add1("count", "w", {});
  const absl::StatusOr<Interpreter> interpreter =
      Interpreter::Create(&graph, FindTestOp, &none, RunOptions());
  EXPECT_EQ(interpreter.status().message(), "w: op count has no abacus kernel");
}

}  // namespace
}  // namespace facet::ops
