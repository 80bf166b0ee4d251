// Class weights and their momentum stored as bfloat16, in whole steps: on any
// number of devices, fused or not, sampled or not, and beside float32.
//
// Other devices, and other operators, add in another order, and what differs in
// the last bits of a float is now and then rounded to the other neighbour. So
// nothing here is the same to 1e-4, but nearly all elements are the same.

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

constexpr ops::DataType kFloat32 = ops::DataType::kFloat32;
constexpr ops::DataType kBFloat16 = ops::DataType::kBFloat16;
constexpr models::Storage kStorages[] = {
    {kBFloat16, kBFloat16}, {kBFloat16, kFloat32}, {kFloat32, kBFloat16}};

TrainingResult MustTrain(const SmallTraining& training) {
  absl::StatusOr<TrainingResult> result = Train(training);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : TrainingResult{};
}

std::string Describe(const models::Storage& storage) {
  return std::string(ops::DataTypeName(storage.weight)) + " weights, " +
         std::string(ops::DataTypeName(storage.momentum)) + " momentum";
}

SmallTraining HalfState(const models::Storage& storage) {
  SmallTraining training;
  training.storage = storage;
  training.classes = 1003;   // Uneven on 2, 4 and 8 devices,
  training.batch_size = 13;  // and so is the batch on all.
  training.steps = 3;
  training.options.optimizer.learning_rate = 0.05;
  return training;
}

// No element is far from the other's, and few are not the same.
void ExpectNearlyTheSame(const TrainingResult& a, const TrainingResult& b) {
  ASSERT_EQ(a.losses.size(), b.losses.size());
  for (size_t s = 0; s < a.losses.size(); ++s) {
    EXPECT_NEAR(a.losses[s], b.losses[s], 1e-3 * std::abs(a.losses[s]))
        << "step " << s;
  }
  for (const std::string name : {"head.weight", "head.weight.momentum"}) {
    SCOPED_TRACE(name);
    const std::vector<double> x = Doubles(a.variables.at(name));
    const std::vector<double> y = Doubles(b.variables.at(name));
    ASSERT_EQ(x.size(), y.size());
    double largest = 0, differ = 0;
    for (double value : x) largest = std::max(largest, std::abs(value));
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(x[i], y[i], 0x1p-5 * std::abs(x[i]) + 1e-3 * largest) << i;
      differ += std::abs(x[i] - y[i]) > 1e-3 * largest;
    }
    EXPECT_LE(differ, 0.01 * static_cast<double>(x.size()));
  }
  // What is float32 hardly notices.
  EXPECT_LE(RelativeDifference(a.variables.at("fc.weight"),
                               b.variables.at("fc.weight")),
            1e-2);
}

TEST(HalfStateTest, VariablesAreStoredAsAskedForAndReadAsSuch) {
  for (const models::Storage& storage : kStorages) {
    const TrainingResult result = MustTrain(HalfState(storage));
    EXPECT_EQ(result.variables.at("head.weight").dtype, storage.weight);
    EXPECT_EQ(result.variables.at("head.weight.momentum").dtype,
              storage.momentum);
    // The backbone is what it always is.
    EXPECT_EQ(result.variables.at("fc.weight").dtype, kFloat32);
    EXPECT_EQ(result.variables.at("fc.weight.momentum").dtype, kFloat32);
    // The plan knows it: that is where memory is predicted from.
    for (const placement::Register& reg : result.plan.registers()) {
      if (reg.name() != "head.weight") continue;
      EXPECT_EQ(reg.dtype(), ops::DataTypeName(storage.weight));
    }
  }
}

TEST(HalfStateTest, AnyNumberOfDevicesTrainsTheSame) {
  for (const models::Storage& storage : kStorages) {
    SCOPED_TRACE(Describe(storage));
    SmallTraining training = HalfState(storage);
    const TrainingResult one = MustTrain(training);
    training.options.pins["head.weight"] = ops::Sbp::S(0);
    for (int devices : {2, 3, 8}) {
      SCOPED_TRACE(devices);
      training.devices = devices;
      ExpectNearlyTheSame(one, MustTrain(training));
    }
  }
}

TEST(HalfStateTest, TheSameTwiceIsTheSameBitsAndAnotherSeedIsNot) {
  SmallTraining training = HalfState(kStorages[0]);
  training.devices = 3;
  const TrainingResult a = MustTrain(training), b = MustTrain(training);
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.variables.at("head.weight").data,
            b.variables.at("head.weight").data);
  training.seed = 4;
  EXPECT_NE(MustTrain(training).variables.at("head.weight").data,
            a.variables.at("head.weight").data);
}

TEST(HalfStateTest, FusedOrNotTrainsTheSame) {
  for (const std::string row_update : {"none", "sampled", "dense"}) {
    SCOPED_TRACE(row_update);
    SmallTraining training = HalfState(kStorages[0]);
    training.devices = 2;
    training.options.pins["head.weight"] = ops::Sbp::S(0);
    if (row_update != "none") {
      training.sample_rate = 0.3;
      training.options.optimizer.row_update = row_update;
    }
    const TrainingResult fused = MustTrain(training);
    training.options.fuse = false;
    const TrainingResult plain = MustTrain(training);
    auto count = [](const placement::Plan& plan, const std::string& op) {
      int found = 0;
      for (const placement::Task& task : plan.tasks()) found += task.op() == op;
      return found;
    };
    EXPECT_GT(count(fused.plan, "cosine_linear"), 0);
    EXPECT_EQ(count(plain.plan, "cosine_linear"), 0);
    // Nowhere a copy in float32.
    EXPECT_EQ(count(fused.plan, "cast"), 0);
    EXPECT_EQ(count(plain.plan, "cast"), 0);
    ExpectNearlyTheSame(fused, plain);
  }
}

TEST(HalfStateTest, PartialFcTrainsTheSameOnAnyNumberOfDevices) {
  for (const std::string row_update : {"sampled", "dense"}) {
    SCOPED_TRACE(row_update);
    SmallTraining training = HalfState(kStorages[0]);
    training.sample_rate = 0.3;
    training.options.optimizer.row_update = row_update;
    const TrainingResult one = MustTrain(training);
    training.options.pins["head.weight"] = ops::Sbp::S(0);
    for (int devices : {2, 3}) {
      SCOPED_TRACE(devices);
      training.devices = devices;
      ExpectNearlyTheSame(one, MustTrain(training));
    }
  }
}

// With half precision in the backbone the pass that inserts casts must leave
// the class weights alone.
TEST(HalfStateTest, TrainsWithHalfPrecisionToo) {
  SmallTraining training = HalfState(kStorages[0]);
  training.options.precision = placement::Precision::kBFloat16;
  const TrainingResult fused = MustTrain(training);
  training.options.fuse = false;
  const TrainingResult plain = MustTrain(training);
  for (const TrainingResult* result : {&fused, &plain}) {
    for (const placement::LogicalTensor& tensor : result->plan.tensors()) {
      EXPECT_THAT(tensor.name(),
                  testing::Not(testing::HasSubstr("head.weight/cast")));
    }
  }
  for (size_t s = 0; s < fused.losses.size(); ++s) {
    EXPECT_NEAR(fused.losses[s], plain.losses[s], 0.02 * plain.losses[s]);
  }
}

// Learning by heart is as fast as in float32, with steps that are mostly far
// smaller than a bfloat16 number's distance to the next one.
TEST(HalfStateTest, ConvergesAsInFloat32) {
  SmallTraining training;
  training.classes = 300;
  training.devices = 2;
  training.steps = 40;
  training.same_batch = true;
  training.options.optimizer.learning_rate = 0.02;
  const TrainingResult single = MustTrain(training);
  ASSERT_LT(single.losses.back(), 0.2 * single.losses.front());
  for (const models::Storage& storage : kStorages) {
    SCOPED_TRACE(Describe(storage));
    training.storage = storage;
    const TrainingResult half = MustTrain(training);
    for (size_t step : {size_t{10}, size_t{20}, size_t{39}}) {
      EXPECT_NEAR(half.losses[step], single.losses[step],
                  0.05 * single.losses.front())
          << "step " << step;
    }
  }
}

}  // namespace
}  // namespace facet::tests
