#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

HostValue Filled(const TensorType& type, const Values& values) {
  HostValue value = HostValue::Whole(type);
  value.FromDoubles(values);
  return value;
}

HostValue Scalar(double value) {
  return Filled({DataType::kFloat32, {}}, {value});
}

// Several steps against the loop of torch.optim.SGD, written as there: no
// buffer before the first step.
TEST(SgdUpdateTest, FollowsTorch) {
  const TensorType type = {DataType::kFloat32, {5, 7, 3, 3}};
  const double momentum = 0.9, weight_decay = 0.01, scale = 0.5;
  Values p = RandomValues(type, {}, 1);
  HostValue weight = Filled(type, p);
  p = weight.ToDoubles();
  HostValue buffer = Filled(type, Values(p.size(), 0.0));
  Values momentum_buffer;
  for (int step = 0; step < 5; ++step) {
    const HostValue gradient = Filled(type, RandomValues(type, {}, 10 + step));
    const double lr = 0.1 / (1 + step);
    auto status =
        RunOp(*FindOp("sgd_update"),
              {{"momentum", momentum}, {"weight_decay", weight_decay}},
              {weight, buffer, gradient, Scalar(lr), Scalar(scale)}, {},
              RunOptions(), CpuKernels())
            .status();
    ASSERT_TRUE(status.ok()) << status;

    Values d_p = gradient.ToDoubles();
    for (size_t i = 0; i < p.size(); ++i) {
      d_p[i] = d_p[i] * scale + weight_decay * p[i];
    }
    if (momentum_buffer.empty()) {
      momentum_buffer = d_p;
    } else {
      for (size_t i = 0; i < p.size(); ++i) {
        momentum_buffer[i] = momentum_buffer[i] * momentum + d_p[i];
      }
    }
    for (size_t i = 0; i < p.size(); ++i) p[i] -= lr * momentum_buffer[i];

    const Values got = weight.ToDoubles();
    const Values got_buffer = buffer.ToDoubles();
    for (size_t i = 0; i < p.size(); ++i) {
      ASSERT_NEAR(got[i], p[i], 1e-6) << "step " << step << " weight " << i;
      ASSERT_NEAR(got_buffer[i], momentum_buffer[i], 1e-6)
          << "step " << step << " momentum " << i;
    }
  }
}

TEST(SgdUpdateTest, Values) {
  const Reference reference = [](const Attributes& attributes, const auto&,
                                 const std::vector<Values>& inputs) {
    Values w = inputs[0], m = inputs[1];
    const double scale = inputs.size() > 4 ? inputs[4][0] : 1;
    for (size_t i = 0; i < w.size(); ++i) {
      m[i] = attributes.Float("momentum") * m[i] + inputs[2][i] * scale +
             attributes.Float("weight_decay") * w[i];
      w[i] -= inputs[3][0] * m[i];
    }
    return std::vector<Values>{w, m};
  };
  const DataType f32 = DataType::kFloat32;
  for (const Shape& shape : {Shape{13}, Shape{150, 333}, Shape{}}) {
    OpCase op_case;
    op_case.op = "sgd_update";
    op_case.inputs = {{f32, shape}, {f32, shape}, {f32, shape}, {f32, {}}};
    ExpectMatchesReference(op_case, reference);
    op_case.inputs.push_back({f32, {}});
    ExpectMatchesReference(op_case, reference);
  }
}

TEST(SgdUpdateTest, SkipChangesNothingEvenIfTheGradientOverflowed) {
  const TensorType type = {DataType::kFloat32, {9}};
  const Values before = RandomValues(type, {}, 1);
  HostValue weight = Filled(type, before);
  HostValue buffer = Filled(type, before);
  const Values rounded = weight.ToDoubles();
  const HostValue gradient = Filled(type, Values(9, 1e39));
  auto run = [&](double skip) {
    return RunOp(
               *FindOp("sgd_update"), {},
               {weight, buffer, gradient, Scalar(0.1), Scalar(1), Scalar(skip)},
               {}, RunOptions(), CpuKernels())
        .status();
  };
  ASSERT_TRUE(run(1).ok());
  EXPECT_EQ(weight.ToDoubles(), rounded);
  EXPECT_EQ(buffer.ToDoubles(), rounded);
  ASSERT_TRUE(run(0).ok());
  EXPECT_NE(weight.ToDoubles(), rounded);
}

TEST(SgdUpdateTest, ScalarsAreBroadcastUnderASplit) {
  const OpDef& def = *FindOp("sgd_update");
  const DataType f32 = DataType::kFloat32;
  const std::vector<TensorType> inputs = {
      {f32, {6, 4}}, {f32, {6, 4}}, {f32, {6, 4}}, {f32, {}}};
  const std::vector<Signature> signatures = def.signatures({{}, inputs, {}}, 2);
  ASSERT_EQ(signatures.size(), 3u);
  EXPECT_TRUE(signatures[2].inputs ==
              (std::vector<Sbp>{Sbp::S(1), Sbp::S(1), Sbp::S(1), Sbp::B()}));
}

}  // namespace
}  // namespace facet::ops
