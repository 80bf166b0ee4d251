#include "placement/tool/graphviz.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"

extern char** environ;

namespace facet::placement {
namespace {

// A folder of our own that goes with this.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    std::filesystem::path base = std::filesystem::temp_directory_path(error);
    if (error) base = "/tmp";
    std::string pattern = (base / "facet_plan_XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }  // Empty: none made.

 private:
  std::string path_;
};

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

absl::StatusOr<std::string> DrawSvg(const std::string& dot) {
  // Files, not pipes: no deadlock between what it reads and what it writes.
  const TemporaryFolder folder;
  const std::string input = folder.path() + "/plan.dot";
  const std::string output = folder.path() + "/plan.svg";
  const std::string errors = folder.path() + "/errors.txt";
  if (!folder.path().empty()) std::ofstream(input, std::ios::binary) << dot;
  if (folder.path().empty() || ReadAll(input) != dot) {
    return absl::UnavailableError(
        "cannot write a temporary file for dot; is the disk full?");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::string arguments[] = {"dot", "-Tsvg", "-o", output, input};
  char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(),
                  arguments[3].data(), arguments[4].data(), nullptr};
  pid_t process = 0;
  const int failed =
      posix_spawnp(&process, "dot", &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed == ENOENT) {
    return absl::FailedPreconditionError(
        "drawing needs Graphviz's program dot, which is not on the PATH; "
        "install it (Debian, Ubuntu: apt-get install graphviz) or take "
        "--format=dot and draw it elsewhere");
  }
  if (failed != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot start dot: ", strerror(failed)));
  }
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  std::string svg = ReadAll(output);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || svg.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "dot could not draw the plan: ", ReadAll(errors).substr(0, 400)));
  }
  return svg;
}

}  // namespace facet::placement
