#include "benchmarks/tuning/kernel_time_file.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmarks/tuning/machine_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::benchmarks {
namespace {

using testing::HasSubstr;
using testing::Not;

class KernelTimeFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(
        testing::TempDir(), "/",
        testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    path_ = folder_ + "/facet/times.txtpb";
  }
  void Write(const std::string& text) const {
    std::filesystem::create_directories(folder_ + "/facet");
    std::ofstream(path_) << text;
  }
  std::string Text() const {
    std::ifstream file(path_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // What it reads, and what it says to the user.
  SecondsByKernel Read(std::string* warning) const {
    testing::internal::CaptureStderr();
    SecondsByKernel times = ReadKernelTimes(path_, "this");
    *warning = testing::internal::GetCapturedStderr();
    return times;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(KernelTimeFileTest, KeepsTimes) {
  const SecondsByKernel times = {{"cpu 1 conv2d \"a\"", 0.1},
                                 {"cpu 1 conv2d \"b\"", 1.0 / 3},
                                 {"never", HUGE_VAL}};
  ASSERT_TRUE(AddKernelTimes(path_, "this", times).ok());
  EXPECT_EQ(ReadKernelTimes(path_, "this"), times);
}

TEST_F(KernelTimeFileTest, NoFileIsNoTrouble) {
  std::string warning;
  EXPECT_TRUE(Read(&warning).empty());
  EXPECT_EQ(warning, "");
}

TEST_F(KernelTimeFileTest, WhatIsThereStays) {
  ASSERT_TRUE(AddKernelTimes(path_, "this", {{"a", 1}, {"b", 2}}).ok());
  ASSERT_TRUE(AddKernelTimes(path_, "this", {{"b", 3}, {"c", 4}}).ok());
  EXPECT_EQ(ReadKernelTimes(path_, "this"),
            (SecondsByKernel{{"a", 1}, {"b", 2}, {"c", 4}}));
}

TEST_F(KernelTimeFileTest, AFileThatCannotBeUsedIsAWarningAndIsReplaced) {
  struct Case {
    const char* text;
    const char* says;
  };
  for (const Case& c :
       {Case{"machine: \"this\" times { kern", "line 1"},
        Case{"machine: \"this\" times { kernel: \"a\" seconds: -1 }", "-1 s"},
        Case{"machine: \"this\" times { kernel: \"a\" seconds: nan }", "nan s"},
        Case{"machine: \"this\" times { kernel: \"a\" seconds: 1 } more: 2",
             "more"},
        Case{"machine: \"that\" times { kernel: \"a\" seconds: 1 }",
             "it is of \"that\", this is \"this\""},
        Case{"", "it is of \"\""}, Case{"\x01\x80\xff", "line 1"}}) {
    SCOPED_TRACE(c.text);
    Write(c.text);
    std::string warning;
    EXPECT_TRUE(Read(&warning).empty());
    EXPECT_THAT(warning, HasSubstr(path_));
    EXPECT_THAT(warning, HasSubstr(c.says));
    ASSERT_TRUE(AddKernelTimes(path_, "this", {{"b", 2}}).ok());
    EXPECT_EQ(Read(&warning), (SecondsByKernel{{"b", 2}}));
    EXPECT_EQ(warning, "");
  }
}

TEST_F(KernelTimeFileTest, AFolderInItsPlaceIsAWarning) {
  std::filesystem::create_directories(path_);
  std::string warning;
  EXPECT_TRUE(Read(&warning).empty());
  EXPECT_THAT(warning, HasSubstr(path_));
  EXPECT_FALSE(AddKernelTimes(path_, "this", {{"a", 1}}).ok());
}

TEST_F(KernelTimeFileTest, SaysWhyTheFolderCannotBeMade) {
  std::ofstream(folder_) << "a file";
  const absl::Status status = AddKernelTimes(path_, "this", {{"a", 1}});
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
  std::filesystem::remove(folder_);
}

// Processes that add at once: the file is whole whenever it is read, and what
// it says of a kernel is what one of them measured.
TEST_F(KernelTimeFileTest, ProcessesMayWriteAtOnce) {
  constexpr int kProcesses = 4, kRounds = 25;
  ASSERT_TRUE(AddKernelTimes(path_, "this", {{"first", 9}}).ok());
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      bool ok = true;
      for (int round = 0; ok && round < kRounds; ++round) {
        ok = AddKernelTimes(path_, "this",
                            {{absl::StrCat("k", round), p + 1},
                             {absl::StrCat("only", p), p + 1}})
                 .ok();
      }
      _exit(ok ? 0 : 1);
    }
    children.push_back(child);
  }
  std::string warning;
  size_t running = children.size();
  while (running > 0) {
    const SecondsByKernel times = Read(&warning);
    EXPECT_EQ(warning, "");
    EXPECT_EQ(times.count("first"), 1u);
    int status = 0;
    const pid_t done = waitpid(-1, &status, WNOHANG);
    if (done > 0) {
      EXPECT_EQ(status, 0);
      --running;
    }
  }
  const SecondsByKernel times = Read(&warning);
  EXPECT_EQ(warning, "");
  EXPECT_EQ(times.at("first"), 9);
  for (const auto& [kernel, seconds] : times) {
    EXPECT_THAT(seconds, testing::AnyOf(1, 2, 3, 4, 9)) << kernel;
  }
  // Nothing else is left in the folder.
  int files = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(folder_ + "/facet")) {
    ++files;
  }
  EXPECT_EQ(files, 1);
}

class Environment {
 public:
  explicit Environment(const char* name) : name_(name) {
    if (const char* value = std::getenv(name)) {
      was_set_ = true;
      value_ = value;
    }
  }
  ~Environment() {
    was_set_ ? setenv(name_, value_.c_str(), 1) : unsetenv(name_);
  }

 private:
  const char* name_;
  bool was_set_ = false;
  std::string value_;
};

TEST(KernelTimePath, IsInTheUsersCacheAndOfTheMachine) {
  const Environment cache("XDG_CACHE_HOME"), home("HOME");
  setenv("HOME", "/home/ann", 1);
  unsetenv("XDG_CACHE_HOME");
  const std::string path = KernelTimePath("this");
  EXPECT_THAT(path, testing::MatchesRegex(
                        "/home/ann/.cache/facet/kernel_times-[0-9a-f]*.txtpb"));
  EXPECT_NE(path, KernelTimePath("that"));
  // The specification of XDG: relative ones are to be ignored.
  setenv("XDG_CACHE_HOME", "cache", 1);
  EXPECT_EQ(KernelTimePath("this"), path);
  setenv("XDG_CACHE_HOME", "/var/ann", 1);
  EXPECT_THAT(KernelTimePath("this"), testing::StartsWith("/var/ann/facet/"));
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  EXPECT_EQ(KernelTimePath("this"), "");
}

TEST(MachineText, NamesCpuAndLibrary) {
  const std::string text = MachineText();
  EXPECT_THAT(text, testing::ContainsRegex("; oneDNN [0-9]+[.][0-9]+"));
  EXPECT_EQ(text, MachineText());
}

TEST(MachineText, NamesGpuAndLibraries) {
  runtime::CudaDeviceInfo gpu;
  gpu.name = "NVIDIA H200";
  gpu.cudnn_version = 91002;
  gpu.cublas_version = 130001;
  EXPECT_THAT(
      MachineText(gpu),
      testing::StartsWith("NVIDIA H200; cuDNN 91002; cuBLAS 130001; kernels "));
}

}  // namespace
}  // namespace facet::benchmarks
