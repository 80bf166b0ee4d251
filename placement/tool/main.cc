// The plan tool: bazel run //placement:plan -- COMMAND.

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "gflags/gflags.h"
#include "glog/logging.h"
#include "placement/tool/commands.h"
#include "placement/tool/text_table.h"

namespace {

// Compilations allocate and free some 100 MiB in small pieces. To give memory
// back and take it again, and to get it in pages of 4 KiB, would cost half of
// their time: the heap keeps what it has, and is of huge pages where the system
// has any to give.
void KeepHeapInHugePages() {
  constexpr size_t kHugePage = size_t{2} << 20, kHeap = size_t{512} << 20;
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, static_cast<int>(kHeap));
  // The heap grows at its end, by what is asked for and the pad: address space
  // only, until it is touched.
  const auto old_end = reinterpret_cast<uintptr_t>(sbrk(0));
  void* volatile grows_it = malloc(kHugePage);
  free(grows_it);
  const auto end = reinterpret_cast<uintptr_t>(sbrk(0));
  const uintptr_t begin = (old_end + kHugePage - 1) / kHugePage * kHugePage;
  if (begin < end) {
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  }
}

}  // namespace

int main(int argc, char** argv) {
  KeepHeapInHugePages();
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
