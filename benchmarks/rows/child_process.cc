#include "benchmarks/rows/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"
#include "ops/status_macros.h"
#include "runtime/device/host_memory.h"

extern char** environ;

namespace facet::benchmarks {
namespace {

constexpr int kTickMilliseconds = 50;
constexpr size_t kKeptOutput = 4096;

struct Pipe {
  int read_end = -1;
  int write_end = -1;
};

absl::Status ErrnoStatus(int error, const std::string& what) {
  const std::string text = absl::StrCat(what, ": ", strerror(error));
  return error == ENOENT ? absl::NotFoundError(text)
                         : absl::UnavailableError(text);
}

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "a pipe");
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return Pipe{ends[0], ends[1]};
}

// In a process group of its own, output and error into the pipe.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& command,
                            int output) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY,
                                   0);
  posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, arguments[0], &files, &attributes,
                                 arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) {
    return ErrnoStatus(error, absl::StrCat("cannot start ", command[0]));
  }
  return pid;
}

// If the kernel has to end somebody for want of memory: this one.
void OfferToOutOfMemoryKiller(pid_t pid) {
  std::ofstream(absl::StrCat("/proc/", pid, "/oom_score_adj")) << 1000;
}

int64_t ResidentBytesOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/statm"));
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// Appends what the pipe holds; false at its end.
bool ReadOutput(int from, std::string* output) {
  char buffer[4096];
  for (;;) {
    const ssize_t count = read(from, buffer, sizeof(buffer));
    if (count == 0) return false;
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    output->append(buffer, count);
    if (output->size() > 2 * kKeptOutput) {
      output->erase(0, output->size() - kKeptOutput);
    }
  }
}

// The last line that has something in it; live lines end with \r.
std::string LastLine(const std::string& output) {
  std::string last;
  for (absl::string_view line : absl::StrSplit(output, absl::ByAnyChar("\r\n"),
                                               absl::SkipWhitespace())) {
    last = std::string(absl::StripAsciiWhitespace(line));
  }
  return last;
}

// A running child; its end is awaited by the destructor at the latest.
class Child {
 public:
  Child(pid_t pid, int output) : pid_(pid), output_(output) {}
  ~Child() {
    if (!ended_) {
      Kill();
      wait4(pid_, nullptr, 0, nullptr);
    }
    close(output_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Reads its output for up to a tick, and sees whether it has ended.
  bool HasEnded(ChildEnd* end) {
    pollfd waiting = {output_, POLLIN, 0};
    if (at_end_of_output_) waiting.fd = -1;
    poll(&waiting, 1, kTickMilliseconds);
    at_end_of_output_ =
        at_end_of_output_ || !ReadOutput(output_, &end->last_output);
    int status = 0;
    rusage usage{};
    const pid_t pid = wait4(pid_, &status, WNOHANG, &usage);
    if (pid == 0 || (pid < 0 && errno == EINTR)) return false;
    PCHECK(pid == pid_) << "wait4";
    ended_ = true;
    ReadOutput(output_, &end->last_output);
    if (WIFEXITED(status)) end->exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) end->signal = WTERMSIG(status);
    end->peak_bytes = int64_t{usage.ru_maxrss} * 1024;
    return true;
  }

  void Kill() { kill(-pid_, SIGKILL); }

 private:
  const pid_t pid_;
  const int output_;
  bool at_end_of_output_ = false;
  bool ended_ = false;
};

}  // namespace

std::string ChildEnd::Failure() const {
  if (ok()) return "";
  const std::string size =
      absl::StrFormat("%.2f GiB", peak_bytes / double{1 << 30});
  if (stopped) return "interrupted";
  if (out_of_memory) {
    return absl::StrCat("out of memory: killed at ", size);
  }
  const std::string line = LastLine(last_output);
  return absl::StrCat(signal != 0
                          ? absl::StrCat("ended by signal ", signal, " (",
                                         strsignal(signal), ") at ", size)
                          : absl::StrCat("ended with exit code ", exit_code),
                      line.empty() ? "" : ": ", line);
}

absl::StatusOr<ChildEnd> RunChild(const std::vector<std::string>& command,
                                  const ChildOptions& options) {
  CHECK(!command.empty());
  ASSIGN_OR_RETURN(const Pipe pipe, MakePipe());
  const absl::StatusOr<pid_t> pid = Spawn(command, pipe.write_end);
  close(pipe.write_end);
  if (!pid.ok()) {
    close(pipe.read_end);
    return pid.status();
  }
  Child child(*pid, pipe.read_end);
  OfferToOutOfMemoryKiller(*pid);

  ChildEnd end;
  const auto start = std::chrono::steady_clock::now();
  while (!child.HasEnded(&end)) {
    if (options.stop != nullptr && options.stop->load()) {
      end.stopped = true;
      child.Kill();
    } else if (options.reserve_bytes > 0 &&
               runtime::AvailableHostMemoryBytes() < options.reserve_bytes) {
      end.out_of_memory = true;
      child.Kill();
    }
    if (options.on_tick) {
      options.on_tick(std::chrono::duration<double>(
                          std::chrono::steady_clock::now() - start)
                          .count(),
                      ResidentBytesOf(*pid));
    }
  }
  // It may have ended by itself just before it was killed.
  if (end.signal == 0) end.stopped = end.out_of_memory = false;
  // SIGKILL that is not ours comes from the kernel, for want of memory.
  if (end.signal == SIGKILL && !end.stopped) end.out_of_memory = true;
  return end;
}

}  // namespace facet::benchmarks
