// Trainings that are ended and gone on with from a file.

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/checkpoint/safetensors.h"
#include "tests/training/cuda_backend.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() : folder_(testing::TempDir() + "/checkpoint_XXXXXX") {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~CheckpointTest() override { std::filesystem::remove_all(folder_); }
  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }
  size_t NumFiles() const {
    const std::filesystem::directory_iterator files(folder_);
    return std::distance(begin(files), end(files));
  }

  // 5 steps at once, and 2 and 3 with a file between.
  void ExpectGoesOnToTheBit(SmallTraining training) {
    training.steps = 5;
    const auto at_once = Train(training);
    training.steps = 2;
    training.checkpoint = Path("two.safetensors");
    const auto begun = Train(training);
    training.steps = 3;
    training.resume = training.checkpoint;
    training.checkpoint = Path("five.safetensors");
    const auto ended = Train(training);
    ASSERT_TRUE(at_once.ok() && begun.ok() && ended.ok())
        << at_once.status() << begun.status() << ended.status();
    std::vector<float> losses = begun->losses;
    losses.insert(losses.end(), ended->losses.begin(), ended->losses.end());
    EXPECT_EQ(losses, at_once->losses);
    for (const auto& [name, value] : at_once->variables) {
      EXPECT_EQ(ended->variables.at(name).data, value.data) << name;
    }
    const auto header = runtime::ReadHeader(training.checkpoint);
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->metadata.at("facet_step"), "5");
    EXPECT_EQ(header->tensors.size(), at_once->variables.size());
    EXPECT_EQ(NumFiles(), 2);
  }

  std::string folder_;
};

// The learning rate depends on the step, the loss scale on those before.
TEST_F(CheckpointTest, GoesOnToTheBit) {
  for (int devices : {1, 3}) {
    for (auto precision :
         {placement::Precision::kFloat32, placement::Precision::kFloat16}) {
      SmallTraining training;
      training.devices = devices;
      training.options.precision = precision;
      training.options.initial_loss_scale = 1024;
      training.options.optimizer.warmup_steps = 4;
      ExpectGoesOnToTheBit(training);
    }
  }
}

// What is sampled depends on the step. (Rows that lag behind are brought up to
// date by saving, which rounds: dense updates go on nearly the same.)
TEST_F(CheckpointTest, PartialFcGoesOnToTheBit) {
  SmallTraining training;
  training.devices = 2;
  training.classes = 200;
  training.sample_rate = 0.2;
  ExpectGoesOnToTheBit(training);
}

TEST_F(CheckpointTest, StateIn16BitsGoesOnToTheBit) {
  SmallTraining training;
  training.devices = 2;
  training.storage = {ops::DataType::kBFloat16, ops::DataType::kBFloat16};
  ExpectGoesOnToTheBit(training);
}

TEST_F(CheckpointTest, GpusGoOnToTheBit) {
  FACET_SKIP_WITHOUT_CUDA_DEVICES(2);
  SmallTraining training;
  training.backend = CudaBackend();
  training.devices = 2;
  ExpectGoesOnToTheBit(training);
}

// Files have logical tensors.
TEST_F(CheckpointTest, GoesOnWithAnotherNumberOfDevices) {
  SmallTraining training;
  training.steps = 4;
  const auto at_once = Train(training);
  training.steps = 2;
  training.devices = 3;
  training.checkpoint = Path("c");
  const auto begun = Train(training);
  training.devices = 2;
  training.resume = Path("c");
  training.checkpoint = "";
  const auto ended = Train(training);
  ASSERT_TRUE(at_once.ok() && begun.ok() && ended.ok())
      << at_once.status() << begun.status() << ended.status();
  for (size_t step = 0; step < 2; ++step) {
    EXPECT_NEAR(ended->losses[step], at_once->losses[step + 2],
                1e-4 * at_once->losses[step + 2]);
  }
}

TEST_F(CheckpointTest, OfAnotherModelItIsRefusedByName) {
  SmallTraining training;
  training.steps = 1;
  training.checkpoint = Path("c");
  ASSERT_TRUE(Train(training).ok());
  training.resume = Path("c");
  training.checkpoint = "";
  training.classes = 38;
  EXPECT_THAT(std::string(Train(training).status().message()),
              AllOf(HasSubstr(Path("c")), HasSubstr("head.weight"),
                    HasSubstr("float32[37, 16] in it"),
                    HasSubstr("float32[38, 16] in the model")));
  training.classes = 37;
  training.tiny = true;
  EXPECT_THAT(std::string(Train(training).status().message()),
              HasSubstr("in the model"));
  training.tiny = false;
  training.options.precision = placement::Precision::kFloat16;
  EXPECT_THAT(std::string(Train(training).status().message()),
              HasSubstr("it has no loss_scale"));
}

// A number of steps that nobody has done, or none.
TEST_F(CheckpointTest, AFileOfNoTrainingIsRefused) {
  SmallTraining training;
  training.tiny = true;
  training.steps = 1;
  for (const std::string step : {"", "x", "-1", "9223372036854775807"}) {
    SCOPED_TRACE(step);
    runtime::SafetensorsHeader header;
    if (!step.empty()) header.metadata["facet_step"] = step;
    std::ofstream(Path("c")) << runtime::EncodeHeader(header);
    training.resume = Path("c");
    EXPECT_THAT(std::string(Train(training).status().message()),
                AllOf(HasSubstr(Path("c")), HasSubstr("not a checkpoint")));
  }
  std::filesystem::create_directory(Path("folder"));
  training.resume = Path("folder");
  EXPECT_THAT(std::string(Train(training).status().message()),
              HasSubstr(Path("folder")));
}

TEST_F(CheckpointTest, WhatCannotBeWrittenOrReadIsNamed) {
  SmallTraining training;
  training.tiny = true;
  training.steps = 1;
  training.checkpoint = "/dev/full";
  EXPECT_THAT(std::string(Train(training).status().message()),
              AllOf(HasSubstr("/dev/full"), HasSubstr("No space left")));
  training.checkpoint = "";
  training.resume = Path("none");
  EXPECT_THAT(std::string(Train(training).status().message()),
              HasSubstr(Path("none")));
}

}  // namespace
}  // namespace facet::tests
