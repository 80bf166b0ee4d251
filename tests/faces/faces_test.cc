// The whole machine on real photographs, for a few steps: it reads, trains,
// and evaluates. How well it recognises after a real run stands in README.md.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace facet::tests {
namespace {

namespace fs = std::filesystem;

// FACET_TEST_DATA, or ../shared/data beside the checkout, which the symlink of
// a source file in the test's runfiles leads to.
fs::path DataFolder() {
  if (const char* folder = std::getenv("FACET_TEST_DATA")) return folder;
  std::error_code error;
  const fs::path file = fs::canonical("README.md", error);
  return file.parent_path().parent_path() / "shared" / "data";
}

// The numbers of a list or the single number of `field` in flat JSON.
std::vector<double> Numbers(const std::string& json, const std::string& field) {
  std::vector<double> numbers;
  const size_t at = json.find("\"" + field + "\": ");
  if (at == std::string::npos) return numbers;
  const size_t begin =
      json.find_first_of("[0123456789-", at + field.size() + 3);
  const size_t end =
      json.find_first_of(json[begin] == '[' ? "]" : ",\n", begin);
  for (absl::string_view part :
       absl::StrSplit(json.substr(begin, end - begin), absl::ByAnyChar("[, "),
                      absl::SkipEmpty())) {
    double number = 0;
    EXPECT_TRUE(absl::SimpleAtod(part, &number)) << std::string(part);
    numbers.push_back(number);
  }
  return numbers;
}

TEST(FacesTest, LearnsFromPhotographs) {
  const fs::path data = DataFolder() / "att_faces";
  if (!fs::is_directory(data)) {
    GTEST_SKIP() << "no photographs in " << data
                 << "; set FACET_TEST_DATA to the folder that has att_faces";
  }
  const std::string json = testing::TempDir() + "/faces.json";
  // Sanitizers are slow: with them everything runs, but not long enough to
  // learn (.bazelrc sets this).
  const bool quick = std::getenv("FACET_TEST_QUICK") != nullptr;
  const std::string command =
      std::string("benchmarks/faces --devices=cpu:2 ") +
      (quick ? "--steps=3 --lr_warmup=1 --batch_size=4" : "--steps=12") +
      " --data=" + data.string() + " --json=" + json;
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::ifstream file(json);
  const std::string results(std::istreambuf_iterator<char>(file), {});
  const std::vector<double> losses = Numbers(results, "losses");
  ASSERT_EQ(losses.size(), quick ? 3u : 12u);
  if (!quick) {
    const double first = losses[0] + losses[1] + losses[2];
    const double last = losses[9] + losses[10] + losses[11];
    EXPECT_LT(last, 0.9 * first);
  }
  EXPECT_EQ(Numbers(results, "held_out_photographs"), std::vector<double>{80});
  EXPECT_EQ(Numbers(results, "verification_pairs"),
            std::vector<double>{80 * 79 / 2});
  const std::vector<double> rank1 = Numbers(results, "rank1_accuracy");
  ASSERT_EQ(rank1.size(), 1u);
  EXPECT_TRUE(rank1[0] >= 0 && rank1[0] <= 1);
}

}  // namespace
}  // namespace facet::tests
