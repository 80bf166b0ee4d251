// Whole trainings in several processes: a plan gives the same bits in one
// process and in many.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"
#include "tests/training/cuda_backend.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string Path(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) / name;
}

void ExpectTheSameInProcesses(SmallTraining training, int processes) {
  training.checkpoint = Path("one.safetensors");
  const auto one = Train(training);
  ASSERT_TRUE(one.ok()) << one.status();
  training.processes = processes;
  training.checkpoint = Path("many.safetensors");
  const auto many = RunPlan(training, one->plan);
  ASSERT_TRUE(many.ok()) << many.status();
  EXPECT_EQ(many->losses, one->losses);
  EXPECT_EQ(many->variables.size(), one->variables.size());
  for (const auto& [name, value] : one->variables) {
    EXPECT_TRUE(many->variables.at(name).data == value.data) << name;
  }
  EXPECT_TRUE(ReadFile(Path("many.safetensors")) ==
              ReadFile(Path("one.safetensors")));

  // Each goes on from the file.
  training.resume = training.checkpoint;
  training.checkpoint.clear();
  const auto many_more = RunPlan(training, one->plan);
  training.processes = 0;
  const auto one_more = RunPlan(training, one->plan);
  ASSERT_TRUE(many_more.ok() && one_more.ok())
      << many_more.status() << one_more.status();
  EXPECT_EQ(many_more->losses, one_more->losses);
}

SmallTraining OnFour() {
  SmallTraining training;
  training.devices = 4;
  training.steps = 2;
  return training;
}

TEST(ProcessesTrainingTest, CpuDevices) {
  for (int processes : {2, 4}) ExpectTheSameInProcesses(OnFour(), processes);
}

TEST(ProcessesTrainingTest, HalfPrecision) {
  SmallTraining training = OnFour();
  training.options.precision = placement::Precision::kBFloat16;
  ExpectTheSameInProcesses(training, 2);
}

// Rows that lag behind are caught up before they are read, wherever they are.
TEST(ProcessesTrainingTest, PartialFc) {
  SmallTraining training = OnFour();
  training.classes = 200;
  training.sample_rate = 0.2;
  training.options.optimizer.row_update = "dense";
  training.read_after = 1;
  ExpectTheSameInProcesses(training, 2);
}

// Groups along one axis are within a process, those along the other between
// them.
TEST(ProcessesTrainingTest, AMesh) {
  SmallTraining training = OnFour();
  training.mesh = {{"node", 2}, {"device", 2}};
  ExpectTheSameInProcesses(training, 2);
}

TEST(ProcessesTrainingTest, CudaDevices) {
  FACET_SKIP_WITHOUT_CUDA_DEVICES(4);
  SmallTraining training = OnFour();
  training.backend = CudaBackend();
  training.replay = true;
  ExpectTheSameInProcesses(training, 2);
}

TEST(ProcessesTrainingTest, AFileThatCannotBeReadEndsAll) {
  SmallTraining training = OnFour();
  training.processes = 2;
  training.checkpoint = Path("good.safetensors");
  const auto good = Train(training);
  ASSERT_TRUE(good.ok()) << good.status();
  training.checkpoint.clear();
  training.resume = Path("good.safetensors");
  training.classes = 50;  // Not what is in it.
  const auto other = Train(training);
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition)
      << other.status();
}

}  // namespace
}  // namespace facet::tests
