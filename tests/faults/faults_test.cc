// Bad input to the programs: a clear error and a non-zero exit, never a crash,
// a hang or a result that looks right.

#include <sched.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "opencv2/core.hpp"
#include "opencv2/imgcodecs.hpp"
#include "tests/shell/run_shell.h"

namespace facet::tests {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Outcome RunProgram(const std::string& program, const std::string& flags) {
  return RunShell("timeout 120 benchmarks/" + program + " " + flags);
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

int CountFiles(const std::string& folder) {
  return static_cast<int>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

// Of a file that must be valid JSON.
google::protobuf::Struct ReadJson(const std::string& path) {
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  google::protobuf::Struct json;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &json);
  EXPECT_TRUE(status.ok()) << path << ": " << status.ToString();
  return json;
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
      {"--devices=cuda:1", {"--devices=cuda:1", "CUDA"}},
      {"--batch_size=2 --devices=cpu:4", {"--batch_size=2", "4 devices"}},
      {"--classes=1", {"--classes=1", "2 or more"}},
      {"--classes=3 --devices=cpu:4 --batch_size=8", {"--classes=3", "4"}},
      {"--network=r51", {"--network=r51", "r50"}},
      {"--margin=big", {"--margin=big", "arcface"}},
      {"--margin=1,2", {"--margin=1,2", "m1,m2,m3"}},
      {"--margin_gradient=none", {"--margin_gradient=none", "exact"}},
      {"--half_type=float16", {"--half_type=float16", "--fp16"}},
      {"--fp16 --half_type=float8", {"--half_type=float8", "bfloat16"}},
      {"--recompute=some", {"--recompute=some", "auto, none or all"}},
      {"--split_parameters=some",
       {"--split_parameters=some", "auto, none or all"}},
      {"--accumulate=0", {"--accumulate=0", "use 1 to"}},
      {"--accumulate=4 --partial_fc=0.5",
       {"--accumulate=4", "--partial_fc=0.5", "leave one of the two out"}},
      {"--accumulate=9 --steps=3",
       {"--accumulate=9", "nothing is updated", "at least as many"}},
      {"--checkpoint_every=2", {"--checkpoint_every=2", "--checkpoint=FILE"}},
      {"--checkpoint_every=-1 --checkpoint=/dev/null",
       {"--checkpoint_every=-1", "0 or more"}},
      {"--checkpoint=/no/such/folder/c", {"--checkpoint", "/no/such/folder"}},
      {"--resume=/no/such/file", {"/no/such/file"}},
      {"--tf32=yes", {"--tf32=yes", "convolutions"}},
      {"--conv=fast", {"--conv=fast", "winograd"}},
      {"--lr=-1", {"--lr=-1"}},
      {"--momentum=2", {"--momentum=2"}},
      {"--pin=head.weight", {"--pin=head.weight", "S(0)"}},
      {"--pin='head.weight:S(x)'", {"S(x)", "S(0)"}},
      {"--pin='head.weight:S(0);head.weight:B'", {"head.weight", "twice"}},
      {"--lr=nan", {"--lr=nan", "0 to"}},
      {"--batch_size=99999999999999999999", {"batch_size", "9999"}},
      // Two images for each device's batch norm, unless they share it.
      {"--network=r18 --classes=20 --batch_size=4 --devices=cpu:4",
       {"batch size is 4", "at least 8"}},
      {"--network=r18 --classes=20 --dump_passes=/dev/null/passes",
       {"--dump_passes=/dev/null/passes"}},
      {"--network=r18 --classes=20 --plan_out=/tmp/facet_plan.doc",
       {"facet_plan.doc", ".json"}},
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
    EXPECT_THAT(outcome.output, Not(HasSubstr("Check failed")));
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
  const std::string folder = NewFolder("not_finite");
  const std::string flags =
      std::string(kSmall) +
      "--steps=2 --lr=1e30 --clip_norm=0 --json=" + folder + "/r.json";
  const Outcome outcome = RunProgram("r50_2m", flags);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(CountFiles(folder), 0);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("the loss is"), HasSubstr("in step"),
                    HasSubstr("First seen: step"), HasSubstr("--lr"),
                    HasSubstr("--keep_going")));

  const Outcome kept = RunProgram("r50_2m", flags + " --keep_going");
  EXPECT_EQ(kept.exit_code, 0) << kept.output;
  const google::protobuf::Struct json = ReadJson(folder + "/r.json");
  const auto& losses = json.fields().at("losses").list_value();
  ASSERT_EQ(losses.values_size(), 2);
  EXPECT_GT(losses.values(0).number_value(), 0);
  EXPECT_EQ(losses.values(1).kind_case(), google::protobuf::Value::kNullValue);
}

// For trying things out: it works, and says that it is slow.
TEST(FaultsTest, MoreDevicesThanCoresIsAWarning) {
  cpu_set_t all, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
  }
  // The program inherits the one core that is left.
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  const Outcome outcome = RunProgram("r50_2m", kSmall);
  ASSERT_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("2 devices share 1 cores"));
}

// OpenMP may be told to give smaller teams than were asked for: no reason for
// another result.
TEST(FaultsTest, OpenMPsSettingsDoNotChangeTheLoss) {
  const std::string file = NewFolder("openmp") + "/r.json";
  auto loss = [&](const char* name, const char* value) {
    const char* before = name != nullptr ? getenv(name) : nullptr;
    const std::string kept = before != nullptr ? before : "";
    if (name != nullptr) setenv(name, value, 1);
    const Outcome outcome = RunProgram(
        "r50_2m", std::string(kSmall) + "--devices=cpu:1 --json=" + file);
    if (before != nullptr) {
      setenv(name, kept.c_str(), 1);
    } else if (name != nullptr) {
      unsetenv(name);
    }
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    return ReadJson(file)
        .fields()
        .at("losses")
        .list_value()
        .values(0)
        .number_value();
  };
  const double expected = loss(nullptr, nullptr);
  EXPECT_NEAR(loss("OMP_THREAD_LIMIT", "1"), expected, 1e-3);
  EXPECT_NEAR(loss("OMP_DYNAMIC", "true"), expected, 1e-3);
  EXPECT_NEAR(loss("OMP_NUM_THREADS", "1"), expected, 1e-3);
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

  const std::string file = people + "/p0/0.png";
  const Outcome no_folder = RunProgram("faces", "--data=" + file);
  EXPECT_EQ(no_folder.exit_code, 1);
  EXPECT_THAT(no_folder.output,
              AllOf(HasSubstr(file), HasSubstr("Not a directory")));

  // Nothing readable is left: truncated, not an image, a pipe that nobody
  // writes to.
  const std::string broken = NewFolder("broken");
  WritePhotograph(broken + "/p0/0.png", 7);
  fs::resize_file(broken + "/p0/0.png", 60);
  fs::create_directories(broken + "/p1");
  std::ofstream(broken + "/p1/0.jpg") << "this is no image";
  ASSERT_EQ(mkfifo((broken + "/p1/1.png").c_str(), 0600), 0);
  const Outcome none = RunProgram("faces", "--data=" + broken);
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.output, AllOf(HasSubstr("p0/0.png"), HasSubstr("p1/0.jpg"),
                                 HasSubstr("p1/1.png: not a regular file"),
                                 HasSubstr("no readable photograph"),
                                 HasSubstr("3 unreadable")));

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
  // As --plan_out, found before the training.
  const std::string folder = NewFolder("full");
  fs::create_symlink("/dev/full", folder + "/p.pb");
  const Outcome plan = RunProgram(
      "r50_2m", std::string(kSmall) + "--plan_out=" + folder + "/p.pb");
  EXPECT_EQ(plan.exit_code, 1);
  EXPECT_THAT(plan.output, AllOf(HasSubstr("p.pb"), HasSubstr("space"),
                                 Not(HasSubstr("step 1/1"))));
  EXPECT_EQ(CountFiles(folder), 1);
  const Outcome trace = RunProgram(
      "r50_2m", std::string(kSmall) + "--trace_out=/dev/full --json=" + folder +
                    "/r.json");
  EXPECT_EQ(trace.exit_code, 1);
  // The results of the run are not lost with it.
  EXPECT_THAT(trace.output, AllOf(HasSubstr("/dev/full"), HasSubstr("space"),
                                  HasSubstr("speed (median)")));
  EXPECT_TRUE(ReadJson(folder + "/r.json").fields().contains("losses"));
  const Outcome full =
      RunProgram("r50_2m", std::string(kSmall) + "--json=/dev/full");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.output, AllOf(HasSubstr("/dev/full"), HasSubstr("space")));
  // The report itself.
  const std::string log = folder + "/errors";
  EXPECT_EQ(
      RunProgram("r50_2m", std::string(kSmall) + "2>" + log + " >/dev/full")
          .exit_code,
      1);
  std::ifstream errors(log);
  EXPECT_THAT(std::string(std::istreambuf_iterator<char>(errors), {}),
              HasSubstr("standard output could not be written"));
}

// The disk is full for a checkpoint: the training goes on, its results are
// printed, and yet it is no success.
TEST(FaultsTest, ACheckpointThatCannotBeWrittenEndsNoTraining) {
  const Outcome full = RunProgram(
      "r50_2m", std::string(kSmall) +
                    "--steps=2 --checkpoint_every=1 --checkpoint=/dev/full");
  EXPECT_EQ(full.exit_code, 1) << full.output;
  EXPECT_THAT(full.output,
              AllOf(HasSubstr("no checkpoint of step 1"),
                    HasSubstr("no checkpoint of step 2"),
                    HasSubstr("No space left"), HasSubstr("speed (median)")));
}

TEST(FaultsTest, AKilledTrainingGoesOnFromItsLastCheckpoint) {
  const std::string folder = NewFolder("killed");
  const std::string path = folder + "/c";
  // Killed when there is a file, probably while writing a later one.
  const std::string command =
      "benchmarks/r50_2m " + std::string(kSmall) +
      "--steps=1000000 --checkpoint_every=1 --checkpoint=" + path +
      " > /dev/null 2>&1 & pid=$!; for i in $(seq 600); do [ -e " + path +
      " ] && break; sleep 0.1; done; sleep 0.5; kill -KILL $pid; wait $pid";
  EXPECT_NE(system(command.c_str()), 0);
  const Outcome resumed =
      RunProgram("r50_2m", std::string(kSmall) + "--resume=" + path);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, HasSubstr("goes on from " + path));
  const Outcome too_late = RunProgram(
      "r50_2m", std::string(kSmall) +
                    "--lr_decay --lr_warmup=1000000000 --resume=" + path);
  EXPECT_EQ(too_late.exit_code, 1) << too_late.output;
  EXPECT_THAT(too_late.output,
              AllOf(HasSubstr("--lr_warmup=1000000000"), HasSubstr(path)));
  // Cut off, it is refused.
  fs::resize_file(path, fs::file_size(path) - 1);
  const Outcome cut =
      RunProgram("r50_2m", std::string(kSmall) + "--resume=" + path);
  EXPECT_EQ(cut.exit_code, 1) << cut.output;
  EXPECT_THAT(cut.output, HasSubstr(path));
}

TEST(FaultsTest, ResultsAreWrittenWhereTheyWereAsked) {
  const std::string folder = NewFolder("results");
  const Outcome outcome =
      RunProgram("r50_2m", std::string(kSmall) + "--json=" + folder +
                               "/r.json --trace_out=" + folder +
                               "/t.json --plan_out=" + folder + "/p.json");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  const google::protobuf::Struct results = ReadJson(folder + "/r.json");
  for (const char* field :
       {"samples_per_second", "step_seconds", "losses", "classes", "batch_size",
        "devices", "precision", "process_peak_bytes", "predicted_peak_bytes",
        "phases"}) {
    EXPECT_TRUE(results.fields().contains(field)) << field;
  }
  EXPECT_EQ(results.fields().at("losses").list_value().values_size(), 1);
  EXPECT_GT(ReadJson(folder + "/t.json")
                .fields()
                .at("traceEvents")
                .list_value()
                .values_size(),
            100);
  EXPECT_THAT(ReadJson(folder + "/p.json").ShortDebugString(),
              HasSubstr("head.weight"));
  EXPECT_EQ(CountFiles(folder), 3);  // No temporary file is left.
}

}  // namespace
}  // namespace facet::tests
