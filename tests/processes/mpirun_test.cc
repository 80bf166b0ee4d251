// Several processes, as users start them: mpirun. What they do is what one does
// with as many devices, to the bit, and a lost process ends the others.
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::tests {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Outcome {
  int exit_code = -1;  // -1: killed by a signal.
  std::string output;  // stdout and stderr.
};

Outcome RunShell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen(absl::StrCat("exec 2>&1; ", command).c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) {
    outcome.output.append(buffer, n);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  return outcome;
}

// More processes than cores, and as root, which mpirun asks to be told.
std::string Mpirun(int processes, const std::string& program) {
  return absl::StrCat(
      "timeout 120 mpirun --allow-run-as-root --oversubscribe --bind-to none "
      "-n ",
      processes, " ", program);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The line of a results file that has the losses.
std::string LossesIn(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.find("\"losses\"") != std::string::npos) return line;
  }
  return "no losses in " + path;
}

class MpirunTest : public testing::Test {
 protected:
  void SetUp() override {
    if (RunShell("command -v mpirun").exit_code != 0) {
      GTEST_SKIP() << "mpirun (package openmpi-bin) is not installed";
    }
    folder_ = fs::path(testing::TempDir()) / "mpirun_test";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    // Its sockets, whose paths must be short.
    setenv("OMPI_MCA_orte_tmpdir_base", "/tmp", 1);
  }
  std::string PathOf(const std::string& name) const { return folder_ / name; }

  fs::path folder_;
};

constexpr char kExchange[] = "tests/processes/exchange ";

TEST_F(MpirunTest, MessagesArrive) {
  for (const char* what : {"messages", "sum"}) {
    const Outcome outcome = RunShell(Mpirun(3, absl::StrCat(kExchange, what)));
    EXPECT_EQ(outcome.exit_code, 0) << what << ":\n" << outcome.output;
  }
  const Outcome alone = RunShell(absl::StrCat(kExchange, "alone"));
  EXPECT_EQ(alone.exit_code, 0) << alone.output;
}

TEST_F(MpirunTest, AnotherLauncherIsRefused) {
  const Outcome outcome =
      RunShell(absl::StrCat("PMI_SIZE=2 ", kExchange, "alone"));
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("Open MPI's mpirun"));
}

TEST_F(MpirunTest, WaitsEnd) {
  const auto start = std::chrono::steady_clock::now();
  // Of whoever has the interrupted wait, and of those whose peer aborts.
  EXPECT_NE(RunShell(Mpirun(2, absl::StrCat(kExchange, "give_up"))).exit_code,
            124);
  const Outcome aborted = RunShell(Mpirun(3, absl::StrCat(kExchange, "abort")));
  EXPECT_NE(aborted.exit_code, 0);
  EXPECT_THAT(aborted.output, HasSubstr("MPI_ABORT was invoked on rank 1"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(90));
}

constexpr char kTraining[] =
    "benchmarks/r50_2m --network=r18 --classes=40 --batch_size=4 --warmup=0 "
    "--conv=rule --devices=cpu:2 ";
// Whatever a message costs.
constexpr char kPlaced[] = "--pin='images:S(0);head.weight:S(0)' ";

TEST_F(MpirunTest, TrainsAsOneProcessDoes) {
  const std::string flags = absl::StrCat(kTraining, kPlaced, "--steps=2 ");
  auto outputs = [&](const std::string& name) {
    return absl::StrCat("--json=", PathOf(name + ".json"),
                        " --checkpoint=", PathOf(name + ".safetensors"));
  };
  const Outcome one = RunShell(absl::StrCat(flags, outputs("one")));
  ASSERT_EQ(one.exit_code, 0) << one.output;
  const Outcome two = RunShell(Mpirun(2, absl::StrCat(flags, outputs("two"))));
  ASSERT_EQ(two.exit_code, 0) << two.output;
  EXPECT_THAT(two.output, HasSubstr("2 processes on 1 host: 2 devices"));
  EXPECT_EQ(LossesIn(PathOf("two.json")), LossesIn(PathOf("one.json")));
  EXPECT_TRUE(ReadFile(PathOf("two.safetensors")) ==
              ReadFile(PathOf("one.safetensors")));

  // And goes on, from the other's.
  auto resume = [&](const std::string& name, const std::string& from) {
    return absl::StrCat(kTraining, kPlaced,
                        "--steps=1 --resume=", PathOf(from + ".safetensors"),
                        " --json=", PathOf(name + ".json"));
  };
  const Outcome one_more = RunShell(resume("one_more", "two"));
  ASSERT_EQ(one_more.exit_code, 0) << one_more.output;
  const Outcome two_more = RunShell(Mpirun(2, resume("two_more", "one")));
  ASSERT_EQ(two_more.exit_code, 0) << two_more.output;
  EXPECT_EQ(LossesIn(PathOf("two_more.json")),
            LossesIn(PathOf("one_more.json")));
}

TEST_F(MpirunTest, ErrorsAreSaidOnce) {
  const Outcome outcome =
      RunShell(Mpirun(2, absl::StrCat(kTraining, "--steps=0")));
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("process 0: error: --steps=0"),
                                    Not(HasSubstr("process 1: error"))));
  const Outcome three =
      RunShell(Mpirun(3, absl::StrCat(kTraining, "--steps=1")));
  EXPECT_NE(three.exit_code, 0);
  EXPECT_THAT(three.output,
              HasSubstr("--devices=cpu:2: 3 processes cannot have equally "
                        "many of them; use a multiple of 3"));
}

// A disk that is full does not end the training, in any process.
TEST_F(MpirunTest, ACheckpointThatCannotBeWrittenHangsNobody) {
  const Outcome outcome =
      RunShell(Mpirun(2, absl::StrCat(kTraining,
                                      "--steps=2 --checkpoint_every=1 "
                                      "--checkpoint=/dev/full")));
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_NE(outcome.exit_code, 124);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("speed (median)"), HasSubstr("/dev/full")));
}

TEST_F(MpirunTest, ALostProcessEndsTheOthers) {
  const std::string pids = PathOf("pids");
  // Each says its number, and becomes the program.
  const std::string script = PathOf("start.sh");
  std::ofstream(script) << "echo $OMPI_COMM_WORLD_RANK $$ >> " << pids
                        << "\nexec \"$@\"\n";
  Outcome outcome;
  std::thread job([&] {
    outcome = RunShell(Mpirun(
        2, absl::StrCat("sh ", script, " ", kTraining, "--steps=100000")));
  });
  // It trains when there is a loss; a few seconds are enough for that, and what
  // follows is as true before.
  std::this_thread::sleep_for(std::chrono::seconds(5));
  pid_t second = 0;
  std::ifstream file(pids);
  int rank = 0;
  pid_t pid = 0;
  while (file >> rank >> pid) {
    if (rank == 1) second = pid;
  }
  ASSERT_GT(second, 0);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(kill(second, SIGKILL), 0);
  job.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_NE(outcome.exit_code, 124);
  EXPECT_THAT(outcome.output, HasSubstr("exited on signal 9"));
}

}  // namespace
}  // namespace facet::tests
