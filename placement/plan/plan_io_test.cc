#include "placement/plan/plan_io.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "placement/plan/validate.h"

namespace facet::placement {
namespace {

// The smallest plan: one device with nothing to do.
Plan EmptyPlan() {
  Plan plan;
  plan.set_version(kPlanVersion);
  plan.set_name("nothing");
  plan.set_predicted_step_seconds(0.1);
  Device* device = plan.add_devices();
  device->set_kind("cpu");
  device->set_name("cpu:0");
  device->set_arena_bytes(int64_t{1} << 40);
  Option* option = plan.add_options();
  option->set_name("classes");
  option->set_value("2000000 \"quoted\"");
  return plan;
}

class PlanIo : public testing::Test {
 protected:
  PlanIo() {
    std::string pattern = testing::TempDir() + "/plan_io_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }
  void Write(const std::string& name, const std::string& content) {
    std::ofstream(Path(name), std::ios::binary) << content;
  }
  // Fails, and names the file and the cause.
  void ExpectError(const std::string& name, const std::string& cause) {
    const auto plan = ReadPlan(Path(name));
    ASSERT_FALSE(plan.ok()) << name;
    EXPECT_TRUE(absl::StrContains(plan.status().message(), Path(name)))
        << plan.status();
    EXPECT_TRUE(absl::StrContains(plan.status().message(), cause))
        << plan.status();
  }
  std::string folder_;
};

TEST_F(PlanIo, WritesAndReadsEveryFormat) {
  const Plan plan = EmptyPlan();
  for (const char* name : {"a.pb", "a.txt", "a.pbtxt", "a.json"}) {
    const absl::Status written = WritePlan(plan, Path(name));
    ASSERT_TRUE(written.ok()) << written;
    const auto read = ReadPlan(Path(name));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->SerializeAsString(), plan.SerializeAsString()) << name;
  }
}

TEST_F(PlanIo, SaysWhatIsWrongWithAFile) {
  ExpectError("missing.pb", "No such file");
  ExpectError("plan.bin", "must end in");
  mkdir(Path("folder.pb").c_str(), 0777);
  ExpectError("folder.pb", "Is a directory");
  Write("empty.pb", "");
  ExpectError("empty.pb", "is empty");
  for (const char* name : {"garbage.pb", "garbage.txt", "garbage.json"}) {
    Write(name, "\xff\xfe garbage {");
    ExpectError(name, "not a plan");
  }
  Plan plan = EmptyPlan();
  plan.set_version(7);
  Write("version.pb", plan.SerializeAsString());
  ExpectError("version.pb", "version 7");
  plan = EmptyPlan();
  plan.set_checksum(1);
  Write("changed.pb", plan.SerializeAsString());
  ExpectError("changed.pb", "was changed");
  plan = EmptyPlan();
  plan.add_groups();
  ASSERT_TRUE(WritePlan(plan, Path("invalid.pb")).ok());
  ExpectError("invalid.pb", "group 0");
}

// Wherever a file ends too early: in the middle of a field, or between two,
// where what is left can be parsed.
TEST_F(PlanIo, EveryTruncatedFileIsRefused) {
  for (const char* ending : {".pb", ".txt", ".json"}) {
    ASSERT_TRUE(WritePlan(EmptyPlan(), Path(absl::StrCat("a", ending))).ok());
    std::ifstream file(Path(absl::StrCat("a", ending)), std::ios::binary);
    const std::string content(std::istreambuf_iterator<char>(file), {});
    const std::string name = absl::StrCat("cut", ending);
    // Nothing is missing without the last line break.
    const size_t last = content.find_last_not_of('\n');
    for (size_t size = 1; size <= last; ++size) {
      Write(name, content.substr(0, size));
      ExpectError(name, "truncated");
    }
  }
}

TEST_F(PlanIo, WritingFailsWhole) {
  const Plan plan = EmptyPlan();
  absl::Status status = WritePlan(plan, Path("no/such/folder.pb"));
  EXPECT_TRUE(absl::StrContains(status.message(), "No such file")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "no/such/folder.pb"));
  status = WritePlan(plan, Path("plan.doc"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(symlink("/dev/full", Path("full.pb").c_str()), 0);
  status = WritePlan(plan, Path("full.pb"));
  EXPECT_TRUE(absl::StrContains(status.message(), "No space left")) << status;
}

}  // namespace
}  // namespace facet::placement
