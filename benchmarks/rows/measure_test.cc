// How children end, and what becomes of their figures: with fake programs of
// one line of shell.

#include <atomic>
#include <cmath>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "benchmarks/rows/child_process.h"
#include "benchmarks/rows/measurement.h"
#include "benchmarks/rows/run_rows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::benchmarks {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> Shell(const std::string& script) {
  return {"sh", "-c", script};
}

ChildEnd RunShell(const std::string& script, const ChildOptions& options = {}) {
  const auto end = RunChild(Shell(script), options);
  EXPECT_TRUE(end.ok()) << end.status();
  return end.ok() ? *end : ChildEnd{};
}

TEST(ChildProcessTest, AGoodEnd) {
  const ChildEnd end = RunShell("echo hello; echo to error >&2");
  EXPECT_TRUE(end.ok());
  EXPECT_EQ(end.Failure(), "");
  EXPECT_THAT(end.last_output,
              AllOf(HasSubstr("hello"), HasSubstr("to error")));
}

TEST(ChildProcessTest, AnExitCodeComesWithTheLastLine) {
  const ChildEnd end =
      RunShell("echo first; printf 'live\\rno such class\\n\\n'; exit 3");
  EXPECT_FALSE(end.ok());
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_EQ(end.Failure(), "ended with exit code 3: no such class");
}

TEST(ChildProcessTest, ASignalIsNamed) {
  const ChildEnd end = RunShell("kill -SEGV $$");
  EXPECT_EQ(end.signal, SIGSEGV);
  EXPECT_FALSE(end.out_of_memory);
  EXPECT_THAT(end.Failure(), HasSubstr("signal 11 (Segmentation fault)"));
}

TEST(ChildProcessTest, KilledByTheKernelIsOutOfMemory) {
  const ChildEnd end = RunShell("kill -KILL $$");
  EXPECT_TRUE(end.out_of_memory);
  EXPECT_THAT(end.Failure(), HasSubstr("out of memory"));
}

TEST(ChildProcessTest, EndedBeforeTheMachineHasNoMemoryLeft) {
  ChildOptions options;
  options.reserve_bytes = INT64_MAX;
  const ChildEnd end = RunShell("sleep 1000 & sleep 1000", options);
  EXPECT_TRUE(end.out_of_memory);
  EXPECT_FALSE(end.stopped);
}

TEST(ChildProcessTest, StopEndsItAndItsChildren) {
  std::atomic<bool> stop{false};
  ChildOptions options;
  options.stop = &stop;
  int ticks = 0;
  options.on_tick = [&](double seconds, int64_t) {
    EXPECT_GE(seconds, 0);
    if (++ticks == 2) stop = true;
  };
  const ChildEnd end = RunShell("sleep 1000 & sleep 1000", options);
  EXPECT_TRUE(end.stopped);
  EXPECT_FALSE(end.out_of_memory);
  EXPECT_EQ(end.Failure(), "interrupted");
}

TEST(ChildProcessTest, AProgramThatIsNotThere) {
  const auto end = RunChild({"/no/such/program"}, {});
  EXPECT_TRUE(absl::IsNotFound(end.status()));
  EXPECT_THAT(std::string(end.status().message()),
              HasSubstr("/no/such/program"));
}

TEST(ChildProcessTest, PeakMemoryIsTheChildsOwn) {
  constexpr int64_t kMiB = 1 << 20;
  const auto small = RunChild({"benchmarks/rows/memory_eater", "1"}, {});
  const auto large = RunChild({"benchmarks/rows/memory_eater", "300"}, {});
  const auto again = RunChild({"benchmarks/rows/memory_eater", "1"}, {});
  ASSERT_TRUE(small.ok() && large.ok() && again.ok());
  EXPECT_GE(large->peak_bytes, 300 * kMiB);
  EXPECT_LT(large->peak_bytes, 600 * kMiB);
  EXPECT_LT(small->peak_bytes, 300 * kMiB);
  EXPECT_LT(again->peak_bytes, 300 * kMiB);
}

TEST(ChildProcessTest, OfMuchOutputTheEndIsKept) {
  const ChildEnd end = RunShell(
      "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last; exit 1");
  EXPECT_THAT(end.Failure(), HasSubstr(": last"));
  EXPECT_LT(end.last_output.size(), 20000u);
}

Row SomeRow() {
  Row row;
  row.name = "some";
  row.classes = 20;
  row.batch_size = 4;
  return row;
}

constexpr char kFigures[] =
    "{\"samples_per_second\": 5, \"classes\": 20, \"batch_size\": 4, "
    "\"precision\": \"float32\"}";

TEST(MeasurementTest, FiguresOfTheRightTraining) {
  const auto figures = ParseTrainingFigures(kFigures, SomeRow());
  ASSERT_TRUE(figures.ok()) << figures.status();
  EXPECT_EQ(figures->samples_per_second, 5);
  EXPECT_EQ(figures->precision, "float32");
  EXPECT_EQ(figures->device_peak_bytes, 0);
}

TEST(MeasurementTest, WrongFiguresAreNamed) {
  auto error = [](const std::string& json) {
    return std::string(
        ParseTrainingFigures(json, SomeRow()).status().message());
  };
  EXPECT_THAT(error(""), HasSubstr("not JSON"));
  EXPECT_THAT(error("Killed"), HasSubstr("not JSON"));
  EXPECT_THAT(error("[1, 2]"), HasSubstr("not an object"));
  EXPECT_THAT(error(std::string(kFigures).substr(0, 40)),
              HasSubstr("not JSON"));
  const std::string rest = ", \"classes\": 20, \"batch_size\": 4}";
  for (const char* speed : {"0", "-1", "null", "\"5\"", "[5]"}) {
    EXPECT_THAT(error(absl::StrCat("{\"samples_per_second\": ", speed, rest)),
                HasSubstr("no samples_per_second"))
        << speed;
  }
  EXPECT_THAT(error("{\"samples_per_second\": 5, \"batch_size\": 4}"),
              HasSubstr("classes is missing, not 20"));
  EXPECT_THAT(error("{\"samples_per_second\": 5, \"classes\": 20, "
                    "\"batch_size\": 8}"),
              HasSubstr("batch_size is 8, not 4"));
}

// A program that writes `json` where it is told to, then does `then`.
CommandOf Writes(const std::string& json, const std::string& then = "true") {
  return [=](const Row&, const std::string& path) {
    return Shell(
        absl::StrCat("cat > ", path, " <<'END'\n", json, "\nEND\n", then));
  };
}

Measurement Measured(const CommandOf& command) {
  Measurement measurement;
  MeasureRound(SomeRow(), command, {}, &measurement);
  return measurement;
}

TEST(MeasurementTest, EveryWayToFailIsAFailureWithItsReason) {
  EXPECT_TRUE(Measured(Writes(kFigures)).ok());
  // Figures of a program that then died do not count.
  for (const char* end : {"exit 1", "kill -KILL $$", "kill -SEGV $$"}) {
    const Measurement m = Measured(Writes(kFigures, end));
    EXPECT_FALSE(m.ok()) << end;
    EXPECT_EQ(m.Speed(), 0) << end;
    EXPECT_NE(m.failure, "") << end;
    EXPECT_GT(m.peak_bytes, 0) << end;
  }
  EXPECT_THAT(Measured(Writes("garbage")).failure, HasSubstr("not JSON"));
  EXPECT_THAT(Measured([](const Row&, const std::string&) {
                return Shell("true");
              }).failure,
              HasSubstr("not JSON"));
  const Measurement missing = Measured([](const Row&, const std::string&) {
    return std::vector<std::string>{"/no/such/program"};
  });
  EXPECT_THAT(missing.failure, HasSubstr("/no/such/program"));
  EXPECT_FALSE(missing.out_of_memory);
}

TEST(MeasurementTest, TheMedianOfTheRoundsCounts) {
  Measurement m;
  for (const char* speed : {"9", "2", "4"}) {
    MeasureRound(SomeRow(),
                 Writes(absl::StrCat("{\"samples_per_second\": ", speed,
                                     ", \"classes\": 20, \"batch_size\": 4}")),
                 {}, &m);
  }
  EXPECT_EQ(m.Speed(), 4);
  EXPECT_EQ(m.samples_per_second.size(), 3u);
}

TEST(MeasurementTest, WhereAGpuWasUsedItsMemoryCounts) {
  const Measurement m =
      Measured(Writes("{\"samples_per_second\": 5, \"classes\": 20, "
                      "\"batch_size\": 4, \"device_peak_bytes\": 12}"));
  EXPECT_TRUE(m.ok()) << m.failure;
  EXPECT_EQ(m.peak_bytes, 12);
  EXPECT_GT(Measured(Writes(kFigures)).peak_bytes, 1000);
}

// Notes who ran in `log`, then writes figures.
CommandOf Notes(const std::string& log, const std::string& name) {
  return [=](const Row& row, const std::string& path) {
    auto command = Writes(kFigures)(row, path);
    command.back() =
        absl::StrCat("printf ", name, " >> ", log, "\n", command.back());
    return command;
  };
}

std::string ReadAndRemove(const std::string& path) {
  std::string text;
  {
    std::ifstream file(path);
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  std::remove(path.c_str());
  return text;
}

TEST(RunRowsTest, ContestantsAlternateAndSoDoesWhoBegins) {
  const std::string log = testing::TempDir() + "/order";
  std::remove(log.c_str());
  RunOptions options;
  options.ours = Notes(log, "o");
  options.peer = Notes(log, "p");
  options.one_device = Notes(log, "1");
  options.rounds = 4;
  const RowResult result = MeasureRow(SomeRow(), options);
  EXPECT_EQ(ReadAndRemove(log), "oppooppo");
  EXPECT_EQ(result.Ratio(), 1);
  Row devices = SomeRow();
  devices.opponent = Opponent::kOneDevice;
  options.rounds = 2;
  MeasureRow(devices, options);
  EXPECT_EQ(ReadAndRemove(log), "o11o");
  options.peer = nullptr;
  const RowResult alone = MeasureRow(SomeRow(), options);
  EXPECT_EQ(ReadAndRemove(log), "oo");
  EXPECT_TRUE(alone.ours.ok());
  EXPECT_FALSE(alone.compared());
}

TEST(RunRowsTest, WhoFailsIsNotRunAgainAndEndsNothingElse) {
  const std::string log = testing::TempDir() + "/failing";
  std::remove(log.c_str());
  RunOptions options;
  options.ours = Notes(log, "o");
  options.peer = [&](const Row&, const std::string&) {
    return Shell(absl::StrCat("printf p >> ", log, "; kill -KILL $$"));
  };
  options.rounds = 3;
  int finished = 0;
  const absl::Status status =
      RunRows({SomeRow(), SomeRow()}, options, [&](const RowResult& r) {
        ++finished;
        EXPECT_TRUE(r.ours.ok());
        EXPECT_EQ(r.ours.samples_per_second.size(), 3u);
        EXPECT_TRUE(r.other.out_of_memory);
        EXPECT_TRUE(r.compared());
        EXPECT_EQ(r.Ratio(), 0);
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(finished, 2);
  EXPECT_EQ(ReadAndRemove(log),
            "opoo"
            "opoo");
}

TEST(RunRowsTest, AnInterruptKeepsTheFinishedRowsAndNoOther) {
  std::atomic<bool> stop{false};
  RunOptions options;
  options.ours = Writes(kFigures);
  options.stop = &stop;
  int finished = 0;
  const absl::Status status = RunRows(
      {SomeRow(), SomeRow(), SomeRow()}, options, [&](const RowResult&) {
        if (++finished == 1) {
          options.ours = [&](const Row&, const std::string&) {
            stop = true;
            return Shell("sleep 1000");
          };
        }
        return absl::OkStatus();
      });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(finished, 1);
}

TEST(RunRowsTest, AFileThatCannotBeWrittenEndsTheRun) {
  RunOptions options;
  options.ours = Writes(kFigures);
  int finished = 0;
  const absl::Status status =
      RunRows({SomeRow(), SomeRow()}, options, [&](const RowResult&) {
        ++finished;
        return absl::UnavailableError("disk full");
      });
  EXPECT_EQ(status.message(), "disk full");
  EXPECT_EQ(finished, 1);
}

}  // namespace
}  // namespace facet::benchmarks
