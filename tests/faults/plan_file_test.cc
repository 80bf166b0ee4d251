// Plan files that were damaged: an error that names the file, never a plan
// that does something else, never a crash.

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "placement/plan/plan_io.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

using testing::HasSubstr;

std::string Path(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/", name);
}

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

placement::Plan CompiledPlan(int devices) {
  SmallTraining training;
  training.devices = devices;
  absl::StatusOr<placement::Plan> plan = CompileSmall(training);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

TEST(PlanFileTest, WhatIsWrittenIsRead) {
  const placement::Plan plan = CompiledPlan(2);
  for (const char* name : {"whole.pb", "whole.txt", "whole.json"}) {
    ASSERT_TRUE(placement::WritePlan(plan, Path(name)).ok());
    const auto read = placement::ReadPlan(Path(name));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->SerializeAsString(), plan.SerializeAsString()) << name;
  }
}

// Cut between two fields, what is left is a plan with fewer tasks.
TEST(PlanFileTest, ACutFileIsNotASmallerPlan) {
  for (int devices : {1, 2}) {
    const placement::Plan plan = CompiledPlan(devices);
    for (const char* ending : {".pb", ".txt", ".json"}) {
      const std::string whole = Path(absl::StrCat("cut_me", ending));
      const std::string cut = Path(absl::StrCat("cut", ending));
      ASSERT_TRUE(placement::WritePlan(plan, whole).ok());
      const std::string content = Read(whole);
      const bool is_text = std::string(ending) != ".pb";
      // Text: at the ends of the last lines, where fields end. Binary: at all
      // of the last bytes.
      size_t size = content.size() - 1;
      for (int tried = 0; tried < 100; ++tried) {
        if (is_text) size = content.rfind('\n', size - 1);
        std::ofstream(cut, std::ios::binary)
            << content.substr(0, is_text ? size + 1 : size);
        const auto read = placement::ReadPlan(cut);
        ASSERT_FALSE(read.ok()) << cut << " of " << size << " bytes, with "
                                << read->tasks_size() << " tasks";
        EXPECT_THAT(std::string(read.status().message()), HasSubstr(cut));
        --size;
      }
    }
  }
}

// Bits that changed, be it in a number that would be valid too.
TEST(PlanFileTest, DamagedBytesAreRefused) {
  const std::string whole = Path("damage_me.pb");
  const std::string damaged = Path("damaged.pb");
  const placement::Plan plan = CompiledPlan(2);
  ASSERT_TRUE(placement::WritePlan(plan, whole).ok());
  const std::string content = Read(whole);
  int refused = 0;
  constexpr int kTries = 300;
  for (int tried = 0; tried < kTries; ++tried) {
    std::string bytes = content;
    // One to four bytes, spread over the file.
    for (int i = 0; i <= tried % 4; ++i) {
      const size_t at = (size_t{2654435761} * (tried * 4 + i)) % bytes.size();
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << (tried + i) % 8));
    }
    std::ofstream(damaged, std::ios::binary) << bytes;
    // A few bits mean nothing: those of a number above its 32, for example.
    const auto read = placement::ReadPlan(damaged);
    refused += !read.ok();
    if (read.ok()) {
      EXPECT_EQ(read->SerializeAsString(), plan.SerializeAsString()) << tried;
    }
  }
  EXPECT_GT(refused, kTries * 9 / 10);
}

}  // namespace
}  // namespace facet::tests
