// Whole training steps on meshes of two axes train what one device trains.

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

using ops::NdSbp;
using ops::Sbp;

TrainingResult MustTrain(const SmallTraining& training) {
  absl::StatusOr<TrainingResult> result = Train(training);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : TrainingResult{};
}

void ExpectEqualTraining(const TrainingResult& one, const TrainingResult& many,
                         double least = 1e-3) {
  constexpr double kTolerance = 1e-4;
  ASSERT_FALSE(one.losses.empty());
  ASSERT_EQ(one.losses.size(), many.losses.size());
  for (size_t s = 0; s < one.losses.size(); ++s) {
    EXPECT_NEAR(one.losses[s], many.losses[s],
                kTolerance * std::abs(one.losses[s]))
        << "step " << s;
  }
  ASSERT_EQ(one.variables.size(), many.variables.size());
  for (const auto& [name, value] : one.variables) {
    ASSERT_TRUE(many.variables.contains(name)) << name;
    EXPECT_LE(RelativeDifference(value, many.variables.at(name), least),
              kTolerance)
        << name;
  }
}

std::string SbpOf(const placement::Plan& plan, const std::string& tensor) {
  for (const placement::LogicalTensor& t : plan.tensors()) {
    if (t.name() == tensor) return absl::StrJoin(t.sbp(), ",");
  }
  return "no such tensor";
}

SmallTraining OnMesh(SmallTraining training, int outer, int inner) {
  training.devices = outer * inner;
  training.mesh = {{"node", outer}, {"device", inner}};
  return training;
}

// Uneven classes and an uneven batch on all of them.
TEST(MeshTrainingTest, EveryMeshTrainsTheSame) {
  SmallTraining training;
  training.classes = 1003;
  training.batch_size = 13;
  const TrainingResult one = MustTrain(training);
  for (const auto& [outer, inner] :
       std::vector<std::pair<int, int>>{{2, 3}, {3, 2}, {1, 3}}) {
    SCOPED_TRACE(std::to_string(outer) + "x" + std::to_string(inner));
    const TrainingResult many = MustTrain(OnMesh(training, outer, inner));
    ASSERT_EQ(many.plan.mesh_size(), 2);
    ExpectEqualTraining(one, many);
  }
}

TEST(MeshTrainingTest, ASmallIResNetTrainsTheSame) {
  SmallTraining training;
  training.iresnet = true;
  training.classes = 1003;
  training.batch_size = 13;
  training.options.optimizer.learning_rate = 0.01;
  ExpectEqualTraining(MustTrain(training), MustTrain(OnMesh(training, 2, 2)),
                      1e-2);
}

// Collectives of several groups are in one plan.
TEST(MeshTrainingTest, AHeadSplitAlongBothAxes) {
  SmallTraining training;
  training.classes = 103;
  training.batch_size = 12;
  const TrainingResult one = MustTrain(training);
  SmallTraining pinned = OnMesh(training, 2, 2);
  pinned.options.pins["head.weight"] = NdSbp{Sbp::S(0), Sbp::S(0)};
  const TrainingResult many = MustTrain(pinned);
  EXPECT_EQ(SbpOf(many.plan, "head.weight"), "S(0),S(0)");
  EXPECT_EQ(SbpOf(many.plan, "head.weight.momentum"), "S(0),S(0)");
  EXPECT_EQ(many.plan.groups_size(), 4);  // Two rows and two columns.
  ExpectEqualTraining(one, many);
}

TEST(MeshTrainingTest, PartialFcWithinANode) {
  SmallTraining training;
  training.classes = 103;
  training.batch_size = 12;
  training.sample_rate = 0.3;
  training.class_groups = 2;
  const TrainingResult one = MustTrain(training);
  SmallTraining mesh = OnMesh(training, 2, 2);
  mesh.options.pins["head.weight"] = NdSbp{Sbp::B(), Sbp::S(0)};
  ExpectEqualTraining(one, MustTrain(mesh));
}

}  // namespace
}  // namespace facet::tests
