// A program run as a child process: its end, whatever it may be, its peak
// memory, and its last words. A child that eats the machine's memory is ended
// before the kernel has to choose somebody.
#ifndef FACET_BENCHMARKS_ROWS_CHILD_PROCESS_H_
#define FACET_BENCHMARKS_ROWS_CHILD_PROCESS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace facet::benchmarks {

struct ChildOptions {
  // The child is killed when the machine has less memory left than this. 0:
  // never.
  int64_t reserve_bytes = 0;
  // Killed when this becomes true. May be null. Not owned.
  const std::atomic<bool>* stop = nullptr;
  // Called some times a second while it runs. May be null.
  std::function<void(double seconds, int64_t resident_bytes)> on_tick;
};

struct ChildEnd {
  int exit_code = -1;          // -1: a signal ended it.
  int signal = 0;              // 0: it left by itself.
  bool out_of_memory = false;  // Killed, for reserve_bytes or by the kernel.
  bool stopped = false;        // Killed for `stop`.
  // Largest resident size (getrusage). Never less than this process had when
  // it started the child.
  int64_t peak_bytes = 0;
  // The last lines that it wrote to standard output and error.
  std::string last_output;

  bool ok() const { return exit_code == 0; }
  // Empty if ok: "out of memory: killed at 21.50 GiB", "ended with exit code
  // 1: " and its last line.
  std::string Failure() const;
};

// Runs command[0] (looked up in PATH) with the rest as arguments and waits for
// its end; its input is empty. It has a process group of its own, so that the
// terminal's Ctrl-C is the caller's to handle. NotFound or another error if it
// cannot be started. One caller at a time.
absl::StatusOr<ChildEnd> RunChild(const std::vector<std::string>& command,
                                  const ChildOptions& options);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_ROWS_CHILD_PROCESS_H_
