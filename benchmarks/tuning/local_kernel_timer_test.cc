#include "benchmarks/tuning/local_kernel_timer.h"

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/device/cpu_device.h"

namespace facet::benchmarks {
namespace {

using testing::HasSubstr;

// A matrix product, and its transposes as if they were other ways to do it.
placement::KernelChoice Product(int64_t side, int cores) {
  const ops::TensorSlice square = {ops::DataType::kFloat32,
                                   ops::Layout::kRowMajor,
                                   {side, side},
                                   {side, side},
                                   {0, 0}};
  placement::KernelChoice choice;
  choice.device_kind = "cpu";
  choice.cores = cores;
  choice.op = "matmul";
  for (bool transpose : {false, true}) {
    choice.alternatives.push_back({{"transpose_a", transpose},
                                   {"transpose_b", transpose},
                                   {"algorithm", std::string("auto")},
                                   {"may_round", false}});
  }
  choice.spec.attributes = choice.alternatives[0];
  choice.spec.inputs = {square, square};
  choice.spec.outputs = {square};
  return choice;
}

class LocalKernelTimerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto devices = runtime::CreateCpuDevices(2);
    CHECK(devices.ok()) << devices.status();
    devices_ = *std::move(devices);
    path_ = absl::StrCat(
        testing::TempDir(), "/",
        testing::UnitTest::GetInstance()->current_test_info()->name(),
        "/times.txtpb");
    std::filesystem::remove(path_);
  }
  // The devices say that they have 1 and `cores` cores.
  LocalKernelTimer Timer(int cores = 1, const std::string& machine = "this") {
    return LocalKernelTimer(
        {{devices_[0].get(), "cpu", 1}, {devices_[1].get(), "cpu", cores}},
        machine, path_);
  }
  // The answers, and the line that the user sees.
  static std::vector<std::vector<double>> Ask(
      LocalKernelTimer* timer,
      const std::vector<placement::KernelChoice>& choices, std::string* line) {
    testing::internal::CaptureStdout();
    auto answers = timer->Seconds(choices);
    *line = testing::internal::GetCapturedStdout();
    return answers;
  }

  std::vector<std::unique_ptr<runtime::Device>> devices_;
  std::string path_;
};

TEST_F(LocalKernelTimerTest, MeasuresOnceAndKeepsIt) {
  const std::vector<placement::KernelChoice> choices = {
      Product(8, 1), Product(16, 1), Product(24, 1)};
  std::string line;
  LocalKernelTimer timer = Timer();
  const auto answers = Ask(&timer, choices, &line);
  EXPECT_THAT(line, HasSubstr("measuring 6 kernels"));
  EXPECT_THAT(line, HasSubstr(path_));
  ASSERT_EQ(answers.size(), 3u);
  for (const auto& answer : answers) {
    ASSERT_EQ(answer.size(), 2u);
    for (double seconds : answer) {
      EXPECT_TRUE(std::isfinite(seconds));
      EXPECT_GT(seconds, 0);
    }
  }
  EXPECT_GT(timer.spent_seconds(), 0);

  EXPECT_EQ(Ask(&timer, choices, &line), answers);
  EXPECT_EQ(line, "");
  // The next process: in any order.
  LocalKernelTimer next = Timer();
  EXPECT_EQ(Ask(&next, {choices[2], choices[0]}, &line),
            (std::vector<std::vector<double>>{answers[2], answers[0]}));
  EXPECT_EQ(line, "");
  EXPECT_EQ(next.spent_seconds(), 0);
  // Only what is new is measured.
  Ask(&next, {choices[1], Product(32, 1)}, &line);
  EXPECT_THAT(line, HasSubstr("measuring 2 kernels"));
  // On another machine all of it.
  LocalKernelTimer other = Timer(1, "that");
  Ask(&other, choices, &line);
  EXPECT_THAT(line, HasSubstr("measuring 6 kernels"));
}

TEST_F(LocalKernelTimerTest, AlternativesAreMeasuredTogether) {
  const placement::KernelChoice choice = Product(8, 1);
  std::string line;
  LocalKernelTimer timer = Timer();
  Ask(&timer, {choice}, &line);
  // One more alternative: the first two are measured again beside it.
  placement::KernelChoice more = choice;
  more.alternatives.push_back(choice.alternatives[0]);
  more.alternatives.back().Set("transpose_b", true);
  const auto answers = Ask(&timer, {more}, &line);
  EXPECT_THAT(line, HasSubstr("measuring 3 kernels"));
  EXPECT_EQ(answers[0].size(), 3u);
}

TEST_F(LocalKernelTimerTest, KeepsWhatNeverRuns) {
  // Winograd's algorithm has no stride.
  auto whole = [](const ops::Shape& shape, ops::Layout layout) {
    return ops::TensorSlice{
        ops::DataType::kFloat32, layout, shape, shape, {0, 0, 0, 0}};
  };
  placement::KernelChoice choice;
  choice.device_kind = "cpu";
  choice.op = "conv2d";
  choice.spec.attributes = {{"stride", int64_t{2}},
                            {"padding", int64_t{1}},
                            {"algorithm", std::string("winograd")},
                            {"may_round", false}};
  choice.alternatives = {choice.spec.attributes};
  choice.spec.inputs = {whole({2, 16, 8, 8}, ops::Layout::kBlocked8),
                        whole({16, 16, 3, 3}, ops::Layout::kRowMajor)};
  choice.spec.outputs = {whole({2, 16, 4, 4}, ops::Layout::kBlocked8)};
  std::string line;
  LocalKernelTimer timer = Timer();
  EXPECT_TRUE(std::isinf(Ask(&timer, {choice}, &line)[0][0]));
  EXPECT_THAT(line, HasSubstr("measuring 1 kernels"));
  LocalKernelTimer next = Timer();
  EXPECT_TRUE(std::isinf(Ask(&next, {choice}, &line)[0][0]));
  EXPECT_EQ(line, "");
}

TEST_F(LocalKernelTimerTest, OnDevicesWithAsManyCores) {
  std::string line;
  LocalKernelTimer timer = Timer(/*cores=*/2);
  const auto answers =
      Ask(&timer, {Product(8, 1), Product(8, 2), Product(8, 3)}, &line);
  EXPECT_TRUE(std::isfinite(answers[0][0]));
  EXPECT_TRUE(std::isfinite(answers[1][0]));
  // None has three: not measured, not kept, not tried again by this timer.
  EXPECT_TRUE(std::isinf(answers[2][0]));
  EXPECT_EQ(Ask(&timer, {Product(8, 3)}, &line),
            (decltype(answers){answers[2]}));
  EXPECT_EQ(line, "");
  for (const auto& [kernel, seconds] : ReadKernelTimes(path_, "this")) {
    EXPECT_THAT(kernel, testing::AnyOf(testing::StartsWith("cpu 1 matmul"),
                                       testing::StartsWith("cpu 2 matmul")));
  }
}

TEST_F(LocalKernelTimerTest, MeasuresWithoutAFile) {
  LocalKernelTimer timer({{devices_[0].get(), "cpu", 1}}, "this", "");
  std::string line;
  const auto answers = Ask(&timer, {Product(8, 1)}, &line);
  EXPECT_THAT(line, HasSubstr("measuring 2 kernels"));
  EXPECT_TRUE(std::isfinite(answers[0][0]));
}

TEST_F(LocalKernelTimerTest, AFileThatCannotBeWrittenIsAWarning) {
  LocalKernelTimer timer({{devices_[0].get(), "cpu", 1}}, "this",
                         "/proc/facet/times.txtpb");
  testing::internal::CaptureStderr();
  std::string line;
  const auto answers = Ask(&timer, {Product(8, 1)}, &line);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("the times are not kept: /proc/facet/times.txtpb"));
  EXPECT_TRUE(std::isfinite(answers[0][0]));
}

}  // namespace
}  // namespace facet::benchmarks
