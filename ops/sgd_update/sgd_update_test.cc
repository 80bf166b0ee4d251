#include <cmath>

#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"
#include "ops/testing/rounded.h"

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

constexpr DataType kStored[] = {DataType::kFloat32, DataType::kBFloat16};
constexpr int64_t kSeed = 9, kKey = 77, kStep = 5;

RunOptions AtStep(int64_t step) {
  RunOptions options;
  options.seed = kSeed;
  options.step = step;
  return options;
}

void ExpectBFloat16StateRounded(const KernelLibrary& kernels) {
  const Attributes attributes = {{"key", kKey}};
  for (const Shape& shape : {Shape{13}, Shape{150, 333}, Shape{5, 6, 3, 3}}) {
    const TensorType half = {DataType::kBFloat16, shape};
    const TensorType single = {DataType::kFloat32, shape};
    const HostValue w = Filled(half, RandomValues(half, {}, 1));
    const HostValue m = Filled(half, RandomValues(half, {}, 2));
    const HostValue gradient = Filled(single, RandomValues(single, {}, 3));
    auto run = [&](const HostValue& weight, const HostValue& momentum) {
      return RunOp(*FindOp("sgd_update"), attributes,
                   {weight, momentum, gradient, Scalar(0.1)}, {}, AtStep(kStep),
                   kernels)
          .status();
    };
    const HostValue exact_w = WithType(w, DataType::kFloat32);
    const HostValue exact_m = WithType(m, DataType::kFloat32);
    ASSERT_TRUE(run(exact_w, exact_m).ok());
    for (DataType weight_type : kStored) {
      for (DataType momentum_type : kStored) {
        const HostValue weight = WithType(w, weight_type);
        const HostValue momentum = WithType(m, momentum_type);
        const absl::Status status = run(weight, momentum);
        ASSERT_TRUE(status.ok()) << status;
        const RandomStream stream = {kSeed, kKey, kStep};
        ExpectRounded(weight, exact_w, stream, StateKind::kWeight);
        ExpectRounded(momentum, exact_m, stream, StateKind::kMomentum);
      }
    }
  }
}

TEST(SgdUpdateTest, BFloat16StateIsTheFloat32StepRounded) {
  ExpectBFloat16StateRounded(CpuKernels());
}

TEST(SgdUpdateTest, BFloat16StateIsTheFloat32StepRoundedByCuda) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  ExpectBFloat16StateRounded(CudaKernelsOnHost());
}

// Whatever the devices: the rounding is of the element of the whole tensor.
TEST(SgdUpdateTest, SharesOfBFloat16StateHaveTheBitsOfTheWhole) {
  const TensorType half = {DataType::kBFloat16, {61, 37}};
  const TensorType single = {DataType::kFloat32, {61, 37}};
  auto state = [&] {
    return std::vector<HostValue>{Filled(half, RandomValues(half, {}, 1)),
                                  Filled(half, RandomValues(half, {}, 2)),
                                  Filled(single, RandomValues(single, {}, 3)),
                                  Scalar(0.1)};
  };
  auto run = [&](const std::vector<HostValue>& inputs) {
    for (int64_t step = 0; step < 3; ++step) {
      ASSERT_TRUE(RunOp(*FindOp("sgd_update"), {}, inputs, {}, AtStep(step),
                        CpuKernels())
                      .ok());
    }
  };
  const std::vector<HostValue> whole = state();
  run(whole);
  EXPECT_NE(whole[0].ToDoubles(), state()[0].ToDoubles());
  for (const Sbp& sbp : {Sbp::S(0), Sbp::S(1)}) {
    for (int k : {2, 3}) {
      std::vector<HostValue> weights, momenta;
      for (int rank = 0; rank < k; ++rank) {
        std::vector<HostValue> inputs = state();
        for (int i = 0; i < 3; ++i) {
          inputs[i] = TakeShare(inputs[i], sbp, k, rank);
        }
        run(inputs);
        weights.push_back(inputs[0]);
        momenta.push_back(inputs[1]);
      }
      EXPECT_EQ(JoinShares(weights, sbp)->ToDoubles(), whole[0].ToDoubles());
      EXPECT_EQ(JoinShares(momenta, sbp)->ToDoubles(), whole[1].ToDoubles());
    }
  }
}

// Each step is a sixteenth of the distance between two bfloat16 numbers; to
// nearest, no weight would ever move.
TEST(SgdUpdateTest, SmallStepsAddUpInBFloat16) {
  constexpr int kSteps = 200;
  constexpr double kUlp = 0x1p-8, kMove = kUlp / 16;  // Below 1.
  const TensorType type = {DataType::kBFloat16, {64, 64}};
  const HostValue weight = Filled(type, Values(4096, 1.0));
  const HostValue momentum =
      Filled({DataType::kFloat32, type.shape}, Values(4096, 0.0));
  const HostValue gradient =
      Filled({DataType::kFloat32, type.shape}, Values(4096, kMove));
  for (int step = 0; step < kSteps; ++step) {
    ASSERT_TRUE(RunOp(*FindOp("sgd_update"),
                      {{"momentum", 0.0}, {"weight_decay", 0.0}},
                      {weight, momentum, gradient, Scalar(1)}, {}, AtStep(step),
                      CpuKernels())
                    .ok());
  }
  double sum = 0, square = 0;
  for (double w : weight.ToDoubles()) {
    const double error = (w - (1 - kSteps * kMove)) / kUlp;
    sum += error;
    square += error * error;
  }
  // A step moves a weight by one ulp with probability 1/16.
  const double variance = kSteps * (1.0 / 16) * (15.0 / 16);
  EXPECT_LE(std::abs(sum / 4096), 5 * std::sqrt(variance / 4096));
  EXPECT_NEAR(square / 4096 / variance, 1, 0.15);
}

// Three steps that make one update are one step by their mean gradient.
TEST(SgdUpdateTest, AccumulatesInTheMomentum) {
  std::vector<const KernelLibrary*> libraries = {&CpuKernels()};
  if (CudaUnavailable().empty()) libraries.push_back(&CudaKernelsOnHost());
  const TensorType type = {DataType::kFloat32, {13, 7}};
  const Attributes once = {{"momentum", 0.9}, {"weight_decay", 0.01}};
  Attributes thrice = once;
  thrice.Set("accumulate", int64_t{3});
  for (const KernelLibrary* library : libraries) {
    SCOPED_TRACE(std::string(library->device_kind));
    auto start = [&](int i) { return Filled(type, RandomValues(type, {}, i)); };
    const HostValue weight = start(1), momentum = start(2);
    const HostValue want_weight = start(1), want_momentum = start(2);
    Values mean(91, 0.0);
    for (int step = 3; step < 6; ++step) {
      const HostValue gradient = start(10 + step);
      const Values g = gradient.ToDoubles();
      for (size_t i = 0; i < g.size(); ++i) mean[i] += g[i] / 3;
      const Values before = weight.ToDoubles();
      ASSERT_TRUE(RunOp(*FindOp("sgd_update"), thrice,
                        {weight, momentum, gradient, Scalar(0.1 * step)}, {},
                        AtStep(step), *library)
                      .ok());
      EXPECT_EQ(weight.ToDoubles() == before, step < 5) << step;
    }
    ASSERT_TRUE(
        RunOp(*FindOp("sgd_update"), once,
              {want_weight, want_momentum, Filled(type, mean), Scalar(0.5)}, {},
              AtStep(0), *library)
            .ok());
    const Values w = weight.ToDoubles(), m = momentum.ToDoubles();
    for (size_t i = 0; i < w.size(); ++i) {
      EXPECT_NEAR(w[i], want_weight.ToDoubles()[i], 1e-6);
      EXPECT_NEAR(m[i], want_momentum.ToDoubles()[i], 1e-6);
    }
  }
}

TEST(SgdUpdateTest, OtherTypesAreErrorsThatSaySo) {
  const OpDef& def = *FindOp("sgd_update");
  std::vector<TensorType> inputs = {{DataType::kFloat16, {4}},
                                    {DataType::kFloat32, {4}},
                                    {DataType::kFloat32, {4}},
                                    {DataType::kFloat32, {}}};
  const Attributes attributes = {
      {"momentum", 0.9}, {"weight_decay", 0.0}, {"accumulate", int64_t{1}}};
  std::vector<TensorType> outputs;
  EXPECT_NE(def.infer({attributes, inputs, {}}, &outputs)
                .message()
                .find("weight is float16[4]; expected float32 or bfloat16"),
            absl::string_view::npos);
  inputs[0].dtype = DataType::kBFloat16;
  EXPECT_TRUE(def.infer({attributes, inputs, {}}, &outputs).ok());
  // A gradient that was rounded to the weight's type has lost what counts.
  inputs[2].dtype = DataType::kBFloat16;
  EXPECT_FALSE(def.infer({attributes, inputs, {}}, &outputs).ok());
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
