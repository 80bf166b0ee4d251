// The plan tool: bazel run //placement:plan -- COMMAND.

#include <malloc.h>

#include <cstdio>
#include <string>
#include <vector>

#include "gflags/gflags.h"
#include "glog/logging.h"
#include "placement/tool/commands.h"
#include "placement/tool/text_table.h"

int main(int argc, char** argv) {
  // The search's tables come and go, some 100 MiB of them: memory that is given
  // back and taken again each time costs half of a compilation.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
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
