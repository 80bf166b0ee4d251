// The plan tool: bazel run //placement:plan -- COMMAND.

#include <cstdio>
#include <string>
#include <vector>

#include "gflags/gflags.h"
#include "glog/logging.h"
#include "placement/tool/commands.h"
#include "placement/tool/text_table.h"
#include "runtime/device/host_memory.h"

int main(int argc, char** argv) {
  facet::runtime::KeepHeapInHugePages();
  // Logs of warnings and errors go to the terminal, not to files in /tmp.
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  const absl::StatusOr<std::string> text = facet::placement::RunPlanTool(
      std::vector<std::string>(argv + 1, argv + argc),
      facet::placement::TerminalWidth());
  if (!text.ok()) {
    std::fprintf(stderr, "plan: error: %s\n",
                 std::string(text.status().message()).c_str());
    return 1;
  }
  // A report that nobody can read is no success.
  if (std::fwrite(text->data(), 1, text->size(), stdout) != text->size() ||
      std::fflush(stdout) != 0) {
    std::fprintf(stderr,
                 "plan: error: the standard output could not be written; is "
                 "its disk full?\n");
    return 1;
  }
  return 0;
}
