// The program as people and scripts start it, and one real training of a tiny
// row.

#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "benchmarks/published.h"
#include "benchmarks/rows/child_process.h"
#include "benchmarks/rows/contestants.h"
#include "benchmarks/rows/run_rows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::benchmarks {
namespace {

using testing::HasSubstr;

constexpr char kProgram[] = "benchmarks/published_rows";

ChildEnd RunProgram(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), kProgram);
  const auto end = RunChild(arguments, {});
  EXPECT_TRUE(end.ok()) << end.status();
  return end.ok() ? *end : ChildEnd{};
}

TEST(PublishedRowsTest, ListsAllRowsAndRunsNone) {
  const ChildEnd end = RunProgram({"--list", "--batch_scale=64"});
  EXPECT_TRUE(end.ok()) << end.Failure();
  const auto rows = SelectRows("all", 64);
  ASSERT_TRUE(rows.ok());
  for (const Row& row : *rows) {
    EXPECT_THAT(end.last_output, HasSubstr(row.name));
  }
  EXPECT_THAT(end.last_output, HasSubstr("published / 64"));
}

TEST(PublishedRowsTest, WrongFlagsAreErrorsThatSaySo) {
  EXPECT_THAT(RunProgram({"--rows=3m"}).Failure(), HasSubstr("\"3m\""));
  EXPECT_THAT(RunProgram({"--classes=5"}).Failure(), HasSubstr("--classes"));
  EXPECT_THAT(RunProgram({"--rounds=0"}).Failure(), HasSubstr("--rounds=0"));
  EXPECT_THAT(RunProgram({"--devices=gpu"}).Failure(),
              HasSubstr("--devices=gpu"));
  EXPECT_THAT(RunProgram({"--append"}).Failure(), HasSubstr("--json"));
  EXPECT_THAT(RunProgram({"--peer=/nowhere"}).Failure(),
              HasSubstr("partial_fc_v2"));
  EXPECT_THAT(RunProgram({"--chart=a.gif"}).Failure(),
              HasSubstr(".svg or .png"));
  EXPECT_THAT(RunProgram({"rows"}).Failure(), HasSubstr("\"rows\""));
}

TEST(PublishedRowsTest, AnotherMachinesFileIsNotAppendedTo) {
  const std::string path = testing::TempDir() + "/appended.json";
  std::remove(path.c_str());
  const std::vector<std::string> append = {"--rows=none", "--append",
                                           "--json=" + path};
  std::ofstream(path) << R"({"hardware": "abacus", "cores": 1, "peer": null,
      "batch_scale": 1, "steps": 1, "warmup": 0, "rounds": 1, "rows": []})";
  EXPECT_THAT(RunProgram(append).Failure(), HasSubstr("abacus"));
  std::ofstream(path) << "garbage";
  EXPECT_THAT(RunProgram(append).Failure(), HasSubstr("cannot be appended to"));
}

// The program trains a row by starting itself: tiny network, few people.
TEST(PublishedRowsTest, ATinyRowIsTrained) {
  Contestants c;
  c.training = {kProgram, "train", "--network=r18"};
  c.devices = 2;
  Row row;
  row.name = "tiny";
  row.classes = 20;
  row.batch_size = 4;
  row.opponent = Opponent::kOneDevice;
  RunOptions options;
  options.ours = [&](const Row& r, const std::string& json) {
    return OurCommand(c, r, json);
  };
  options.one_device = [&](const Row& r, const std::string& json) {
    return OpponentCommand(c, r, json);
  };
  const RowResult result = MeasureRow(row, options);
  EXPECT_TRUE(result.ours.ok()) << result.ours.failure;
  EXPECT_TRUE(result.other.ok()) << result.other.failure;
  EXPECT_EQ(result.ours.precision, "float32");
  EXPECT_GT(result.Ratio(), 0);
  // The weights of r18 alone are 90 MB, and as much of momentum.
  EXPECT_GT(result.ours.peak_bytes, 180'000'000);
}

}  // namespace
}  // namespace facet::benchmarks
