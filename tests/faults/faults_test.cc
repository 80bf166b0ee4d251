// Bad input to the programs: a clear error and a non-zero exit, never a crash,
// a hang or a result that looks right.

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "opencv2/core.hpp"
#include "opencv2/imgcodecs.hpp"

namespace facet::tests {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

struct Outcome {
  int exit_code = -1;  // -1: killed by a signal.
  std::string output;  // stdout and stderr.
};

Outcome RunProgram(const std::string& program, const std::string& flags) {
  const std::string command =
      "timeout 120 benchmarks/" + program + " " + flags + " 2>&1";
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) {
    outcome.output.append(buffer, n);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  return outcome;
}

// A configuration that trains in a second or two.
constexpr char kSmall[] =
    "--network=r18 --classes=20 --batch_size=4 --steps=1 --warmup=0 "
    "--devices=cpu:2 ";

std::string NewFolder(const std::string& name) {
  const fs::path path = fs::path(testing::TempDir()) / name;
  fs::remove_all(path);
  fs::create_directories(path);
  return path.string();
}

void WritePhotograph(const std::string& path, int value) {
  fs::create_directories(fs::path(path).parent_path());
  ASSERT_TRUE(cv::imwrite(path, cv::Mat(112, 92, CV_8UC1, cv::Scalar(value))));
}

TEST(FaultsTest, ImpossibleFlagsSayWhatIsAllowed) {
  struct Case {
    const char* flags;
    std::vector<const char*> says;
  };
  const std::vector<Case> cases = {
      {"--no_such_flag", {"no_such_flag"}},
      {"--steps=many", {"steps", "many"}},
      {"--steps=0", {"--steps=0", "1 to"}},
      {"--devices=cpu:0", {"--devices=cpu:0", "cpu:N"}},
      {"--devices=two", {"--devices=two", "cpu:N"}},
      {"--devices=cuda:1", {"--devices=cuda:1", "CPU"}},
      {"--batch_size=2 --devices=cpu:4", {"--batch_size=2", "4 devices"}},
      {"--classes=1", {"--classes=1", "2 or more"}},
      {"--classes=3 --devices=cpu:4 --batch_size=8", {"--classes=3", "4"}},
      {"--network=r51", {"--network=r51", "r50"}},
      {"--margin=big", {"--margin=big", "arcface"}},
      {"--margin=1,2", {"--margin=1,2", "m1,m2,m3"}},
      {"--margin_gradient=none", {"--margin_gradient=none", "exact"}},
      {"--half_type=float16", {"--half_type=float16", "--fp16"}},
      {"--fp16 --half_type=float8", {"--half_type=float8", "bfloat16"}},
      {"--lr=-1", {"--lr=-1"}},
      {"--momentum=2", {"--momentum=2"}},
      {"--pin=head.weight", {"--pin=head.weight", "S(0)"}},
      {"--pin='head.weight:S(x)'", {"S(x)", "S(0)"}},
      {"--data=/no/such/folder", {"/no/such/folder"}},
      {"--json=/no/such/folder/r.json", {"--json", "/no/such/folder"}},
      {"--plan_out=/tmp", {"--plan_out", "folder"}},
      {"stray", {"stray", "--help"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.flags);
    const Outcome outcome = RunProgram("r50_2m", c.flags);
    EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
    for (const char* text : c.says) {
      EXPECT_THAT(outcome.output, HasSubstr(text));
    }
    EXPECT_THAT(outcome.output, testing::Not(HasSubstr("Check failed")));
  }
}

TEST(FaultsTest, ImpossiblePinsNameTensorShapeAndChoices) {
  const Outcome outcome =
      RunProgram("r50_2m", std::string(kSmall) + "--pin='head.weight:P(sum)'");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("head.weight"), HasSubstr("[20, 512]"),
                    HasSubstr("B, S(0), S(1)")));
}

TEST(FaultsTest, TooLittleMemoryIsSaidBeforeAllocating) {
  const Outcome outcome = RunProgram(
      "r50_2m", "--classes=2000000000 --batch_size=4 --devices=cpu:2");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("GiB"), HasSubstr("head.weight"),
                    HasSubstr("--classes"), HasSubstr("--batch_size")));
}

TEST(FaultsTest, ALossThatIsNotFiniteStopsWithStepAndTensor) {
  const Outcome outcome = RunProgram(
      "r50_2m", std::string(kSmall) + "--steps=6 --lr=1e30 --clip_norm=0");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("the loss is"), HasSubstr("in step"),
                    HasSubstr("First seen: step"), HasSubstr("--lr"),
                    HasSubstr("--keep_going")));
}

TEST(FaultsTest, BadDataFolders) {
  const std::string empty = NewFolder("empty");
  EXPECT_THAT(RunProgram("faces", "--data=" + empty).output,
              HasSubstr("one sub-folder per person"));
  EXPECT_EQ(RunProgram("faces", "--data=" + empty).exit_code, 1);
  EXPECT_THAT(RunProgram("faces", "").output,
              HasSubstr("--data=PATH is needed"));

  const std::string people = NewFolder("people");
  for (int person = 0; person < 5; ++person) {
    for (int i = 0; i < 3; ++i) {
      WritePhotograph(people + "/p" + std::to_string(person) + "/" +
                          std::to_string(i) + ".png",
                      40 * person + i);
    }
  }
  const Outcome many =
      RunProgram("r50_2m", "--data=" + people + " --classes=4 --devices=cpu:2");
  EXPECT_EQ(many.exit_code, 1);
  EXPECT_THAT(many.output,
              AllOf(HasSubstr("--classes=4"), HasSubstr("5 people")));
  const Outcome held =
      RunProgram("faces", "--data=" + people + " --held_out=3");
  EXPECT_EQ(held.exit_code, 1);
  EXPECT_THAT(held.output, AllOf(HasSubstr("--held_out=3"), HasSubstr("p0")));

  // A truncated photograph is named, counted and skipped.
  fs::resize_file(people + "/p1/2.png", 60);
  const Outcome truncated =
      RunProgram("r50_2m", std::string(kSmall) + "--data=" + people);
  EXPECT_EQ(truncated.exit_code, 0) << truncated.output;
  EXPECT_THAT(truncated.output,
              AllOf(HasSubstr("p1/2.png"), HasSubstr("14 photographs"),
                    HasSubstr("1 unreadable")));
}

TEST(FaultsTest, AFullDiskIsAnErrorAndLeavesNoHalfFile) {
  const Outcome full =
      RunProgram("r50_2m", std::string(kSmall) + "--json=/dev/full");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.output, AllOf(HasSubstr("/dev/full"), HasSubstr("space")));
}

TEST(FaultsTest, ResultsAreWrittenWhereTheyWereAsked) {
  const std::string folder = NewFolder("results");
  const Outcome outcome =
      RunProgram("r50_2m", std::string(kSmall) + "--json=" + folder +
                               "/r.json --trace_out=" + folder +
                               "/t.json --plan_out=" + folder + "/p.json");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  auto content = [&](const std::string& name) {
    std::ifstream file(folder + "/" + name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  for (const char* field :
       {"samples_per_second", "step_seconds", "losses", "classes", "batch_size",
        "devices", "precision", "process_peak_bytes", "predicted_peak_bytes",
        "phases"}) {
    EXPECT_THAT(content("r.json"),
                HasSubstr("\"" + std::string(field) + "\": "));
  }
  EXPECT_THAT(content("t.json"), HasSubstr("traceEvents"));
  EXPECT_THAT(content("p.json"), HasSubstr("head.weight"));
  int files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder)) {
    ++files;
  }
  EXPECT_EQ(files, 3);  // No temporary file is left.
}

}  // namespace
}  // namespace facet::tests
