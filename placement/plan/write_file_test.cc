#include "placement/plan/write_file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace facet::placement {
namespace {

namespace fs = std::filesystem;

std::string NewFolder() {
  std::string pattern = testing::TempDir() + "/write_file_XXXXXX";
  return mkdtemp(pattern.data());
}

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string> Names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(WriteFileTest, WritesAndReplaces) {
  const std::string folder = NewFolder();
  const std::string path = folder + "/a b\n\xC3\xA9.json";
  ASSERT_TRUE(WriteFileAtomically(path, "one").ok());
  EXPECT_EQ(Read(path), "one");
  ASSERT_TRUE(WriteFileAtomically(path, "").ok());
  EXPECT_EQ(Read(path), "");
  EXPECT_EQ(Names(folder).size(), 1u);
}

TEST(WriteFileTest, FailuresNameThePathAndLeaveNothing) {
  const std::string folder = NewFolder();
  const absl::Status gone = WriteFileAtomically(folder + "/no/r.json", "x");
  EXPECT_EQ(std::string(gone.message()),
            "cannot open " + folder + "/no/r.json: No such file or directory");
  EXPECT_FALSE(WriteFileAtomically(folder, "x").ok());
  EXPECT_FALSE(WriteFileAtomically("/dev/full", "x").ok());
  EXPECT_TRUE(Names(folder).empty());
}

// Killed at any moment, nothing but the old file or the whole new one is left.
TEST(WriteFileTest, AKilledProcessLeavesNoHalfFileAndNoOther) {
  const std::string folder = NewFolder();
  const int unnamed = open(folder.c_str(), O_TMPFILE | O_WRONLY, 0600);
  if (unnamed < 0) GTEST_SKIP() << "no unnamed files in " << folder;
  close(unnamed);
  const std::string content(8 << 20, 'x');
  int killed = 0;
  for (int i = 0; i < 40; ++i) {
    const std::string path = folder + "/" + std::to_string(i % 20) + ".json";
    const bool existed = fs::exists(path);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      _exit(WriteFileAtomically(path, content).ok() ? 0 : 1);
    }
    usleep(500 * (i % 20));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    killed += WIFSIGNALED(status);
    if (existed || fs::exists(path)) {
      EXPECT_EQ(fs::file_size(path), content.size());
    }
    for (const std::string& name : Names(folder)) {
      if (fs::path(name).extension() == ".json") continue;
      // Killed when it had a name, but had not replaced the old file yet.
      EXPECT_TRUE(existed) << name;
      EXPECT_EQ(name, std::to_string(i % 20) + ".json." +
                          std::to_string(child) + ".tmp");
      EXPECT_EQ(fs::file_size(folder + "/" + name), content.size()) << name;
      fs::remove(folder + "/" + name);
    }
  }
  EXPECT_GT(killed, 5);  // Or nothing was tested.
}

}  // namespace
}  // namespace facet::placement
