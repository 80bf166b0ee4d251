// Several processes, as users start them: mpirun. What they do is what one does
// with as many devices, to the bit, and a lost process ends the others.
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/shell/run_shell.h"

namespace facet::tests {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// More processes than cores, and as root, which mpirun asks to be told.
std::string Mpirun(int processes, const std::string& program) {
  return absl::StrCat(
      "timeout 120 mpirun --allow-run-as-root --oversubscribe --bind-to none "
      "-n ",
      processes, " ", program);
}

// Of a results file.
std::vector<double> LossesIn(const std::string& path) {
  std::ifstream file(path);
  std::vector<double> losses;
  std::string line;
  while (std::getline(file, line)) {
    if (line.find("\"losses\"") == std::string::npos) continue;
    std::istringstream numbers(line.substr(line.find('[') + 1));
    double loss = 0;
    while (numbers >> loss) {
      losses.push_back(loss);
      numbers.ignore(1, ',');
    }
  }
  return losses;
}

void ExpectNear(const std::vector<double>& losses,
                const std::vector<double>& expected, size_t count) {
  ASSERT_EQ(losses.size(), count);
  ASSERT_EQ(expected.size(), count);
  for (size_t i = 0; i < count; ++i) {
    EXPECT_NEAR(losses[i], expected[i], 1e-4 * expected[i]) << "step " << i;
  }
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
  EXPECT_NE(aborted.exit_code, 124);  // The time was up.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(90));
}

constexpr char kTraining[] =
    "benchmarks/r50_2m --network=r18 --classes=40 --batch_size=4 --warmup=0 "
    "--conv=rule --devices=cpu:2 ";

// Nearly, since plans depend on what messages cost;
// //tests/training:processes_training_test compares the bits of one plan.
TEST_F(MpirunTest, TrainsAsOneProcessDoes) {
  auto run = [&](int processes, const std::string& name,
                 const std::string& flags) {
    const std::string command =
        absl::StrCat(kTraining, flags, " --json=", PathOf(name + ".json"),
                     " --checkpoint=", PathOf(name + ".safetensors"));
    const Outcome outcome =
        RunShell(processes == 1 ? command : Mpirun(processes, command));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    return outcome;
  };
  run(1, "one", "--steps=2");
  const Outcome two = run(2, "two", "--steps=2");
  EXPECT_THAT(two.output, HasSubstr("2 processes on 1 host: 2 devices"));
  ExpectNear(LossesIn(PathOf("two.json")), LossesIn(PathOf("one.json")), 2);

  // And goes on, from the other's.
  run(1, "one_more", "--steps=1 --resume=" + PathOf("two.safetensors"));
  run(2, "two_more", "--steps=1 --resume=" + PathOf("one.safetensors"));
  ExpectNear(LossesIn(PathOf("two_more.json")),
             LossesIn(PathOf("one_more.json")), 1);
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
}

}  // namespace
}  // namespace facet::tests
